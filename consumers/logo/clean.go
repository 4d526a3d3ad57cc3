// Package logo keeps the pictures that schools put at the head of their documents.
//
// What it promises: what is kept is a picture and nothing else. An upload is measured before it is unpacked, unpacked,
// made as small as documents need it, and written anew, so that nothing of its file survives but what it shows. The same
// upload is kept under the same hash.
package logo

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/gif"  // pictures may be GIF, of which the first frame counts
	_ "image/jpeg" // or JPEG
	"image/png"
	"sync"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // or WebP
)

// The limits on an upload.
const (
	MaxBytes  = 2 << 20
	MaxSide   = 8192
	MaxPixels = 16 << 20
)

// StoredSide is how many pixels a picture has at most each way once it is kept: enough for two centimeters in print.
const StoredSide = 512

// Why an upload is refused.
var (
	ErrUnreadable = errors.New("the logo must be a PNG, JPEG, GIF or WebP picture that can be read")
	ErrTooLarge   = fmt.Errorf("the logo must have at most %d bytes, %d pixels each way, and %d in all", MaxBytes, MaxSide, MaxPixels)
)

// decodeMu picture at a time is unpacked: it may take a hundred times the room of its file.
var decodeMu sync.Mutex

// Clean returns a picture written anew, as PNG.
func Clean(data []byte) ([]byte, error) {
	if len(data) > MaxBytes {
		return nil, ErrTooLarge
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || config.Width < 1 || config.Height < 1 {
		return nil, ErrUnreadable
	}
	if config.Width > MaxSide || config.Height > MaxSide || config.Width*config.Height > MaxPixels {
		return nil, ErrTooLarge
	}
	decodeMu.Lock()
	defer decodeMu.Unlock()
	picture, err := decode(data)
	if err != nil {
		return nil, ErrUnreadable
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, shrink(picture)); err != nil {
		return nil, fmt.Errorf("write logo: %w", err)
	}
	return out.Bytes(), nil
}

// decode turns a panic into an error: the file comes from outside, and there are four formats.
func decode(data []byte) (picture image.Image, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	picture, _, err = image.Decode(bytes.NewReader(data))
	return picture, err
}

// shrink returns a picture of at most Side pixels each way, in the colors that PNG writes.
func shrink(picture image.Image) image.Image {
	size := picture.Bounds().Size()
	width, height := size.X, size.Y
	if longest := max(width, height); longest > StoredSide {
		width, height = max(1, width*StoredSide/longest), max(1, height*StoredSide/longest)
	}
	small := image.NewNRGBA(image.Rect(0, 0, width, height))
	if width == size.X && height == size.Y {
		draw.Draw(small, small.Bounds(), picture, picture.Bounds().Min, draw.Src)
	} else {
		draw.CatmullRom.Scale(small, small.Bounds(), picture, picture.Bounds(), draw.Src, nil)
	}
	return small
}
