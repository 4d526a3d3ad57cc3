package page

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // pictures may be JPEG
	_ "image/png"  // or PNG
)

// MaxImageSide is how many pixels a picture may be wide and high.
const MaxImageSide = 4096

// Image is a picture that can be drawn on the pages of a document.
type Image struct {
	name          string
	width, height int
	colors        []byte // red, green and blue of each pixel; or a JPEG as it came
	alpha         []byte // how opaque each pixel is; nil when all are
	jpeg          bool
}

// Image adds a picture, PNG or JPEG. What is larger than MaxImageSide is refused before it is unpacked.
func (d *Document) Image(data []byte) (*Image, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	if config.Width < 1 || config.Height < 1 || config.Width > MaxImageSide || config.Height > MaxImageSide {
		return nil, fmt.Errorf("picture of %d × %d pixels: at most %d each way", config.Width, config.Height, MaxImageSide)
	}
	i := &Image{name: fmt.Sprintf("I%d", len(d.images)+1), width: config.Width, height: config.Height}
	decoded, _, err := image.Decode(bytes.NewReader(data)) // a JPEG as well: readers of PDF differ on broken ones
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	if format == "jpeg" && config.ColorModel == color.YCbCrModel {
		i.colors, i.jpeg = data, true
	} else if err := i.unpack(decoded); err != nil {
		return nil, err
	}
	d.images = append(d.images, i)
	return i, nil
}

func (i *Image) unpack(m image.Image) error {
	bounds := m.Bounds()
	if bounds.Dx() != i.width || bounds.Dy() != i.height {
		return errors.New("read picture: its size is not what it says")
	}
	i.colors = make([]byte, 0, 3*i.width*i.height)
	alpha, opaque := make([]byte, 0, i.width*i.height), true
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
			i.colors = append(i.colors, c.R, c.G, c.B)
			alpha = append(alpha, c.A)
			opaque = opaque && c.A == 0xff
		}
	}
	if !opaque {
		i.alpha = alpha
	}
	return nil
}

func (d *Document) addImage(i *Image) int {
	attributes := func(space string) string {
		return fmt.Sprintf("/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/%s/BitsPerComponent 8", i.width, i.height, space)
	}
	if i.jpeg {
		return d.add("<<%s/Filter/DCTDecode/Length %d>>\nstream\n%s\nendstream", attributes("DeviceRGB"), len(i.colors), i.colors)
	}
	mask := ""
	if i.alpha != nil {
		mask = fmt.Sprintf("/SMask %d 0 R", d.stream(attributes("DeviceGray"), i.alpha))
	}
	return d.stream(attributes("DeviceRGB")+mask, i.colors)
}
