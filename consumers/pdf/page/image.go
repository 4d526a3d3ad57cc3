package page

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // accepted format
	_ "image/png"  // accepted format
)

// MaxImageSide is the limit of an image's width and height in pixels.
const MaxImageSide = 4096

// Image is a decoded image, ready for any number of documents.
type Image struct {
	width, height int
	colors        []byte // red, green and blue of each pixel, compressed; or the file of a JPEG
	alpha         []byte // opacity of each pixel, compressed; nil when all are opaque
	jpeg          bool
}

// ReadImage reads a PNG or JPEG. One larger than MaxImageSide is refused before it is decoded.
func ReadImage(data []byte) (*Image, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if config.Width < 1 || config.Height < 1 || config.Width > MaxImageSide ||
		config.Height > MaxImageSide {
		return nil, fmt.Errorf("image of %d × %d pixels: at most %d per side", config.Width,
			config.Height, MaxImageSide)
	}
	i := &Image{width: config.Width, height: config.Height}
	// a JPEG as well: PDF readers differ on corrupt ones
	decoded, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if format == "jpeg" && config.ColorModel == color.YCbCrModel {
		i.colors, i.jpeg = data, true
		return i, nil
	}
	return i, i.pack(decoded)
}

// Fit returns the size of the image when it is as large as it fits into a rectangle.
func (i *Image) Fit(width, height float64) (w, h float64) {
	scale := min(width/float64(i.width), height/float64(i.height))
	return float64(i.width) * scale, float64(i.height) * scale
}

// pack separates the pixels into colors and opacity, as PDF stores them, and compresses both once
// for all documents.
func (i *Image) pack(m image.Image) error {
	bounds := m.Bounds()
	if bounds.Dx() != i.width || bounds.Dy() != i.height {
		return errors.New("read image: its size differs from its header")
	}
	colors := make([]byte, 0, 3*i.width*i.height)
	alpha, opaque := make([]byte, 0, i.width*i.height), true
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
			colors = append(colors, c.R, c.G, c.B)
			alpha = append(alpha, c.A)
			opaque = opaque && c.A == 0xff
		}
	}
	var p packer
	i.colors = p.deflate(colors)
	if !opaque {
		i.alpha = p.deflate(alpha)
	}
	return nil
}

// addImage writes an image object, and one for its mask if it has transparent pixels.
func (d *Document) addImage(i *Image) int {
	add := func(space, filter, mask string, data []byte) int {
		return d.add("<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/%s/BitsPerComponent 8%s/Filter/%s/Length %d>>\nstream\n%s\nendstream",
			i.width, i.height, space, mask, filter, len(data), data)
	}
	if i.jpeg {
		return add("DeviceRGB", "DCTDecode", "", i.colors)
	}
	mask := ""
	if i.alpha != nil {
		mask = fmt.Sprintf("/SMask %d 0 R", add("DeviceGray", "FlateDecode", "", i.alpha))
	}
	return add("DeviceRGB", "FlateDecode", mask, i.colors)
}
