// Package logo stores the logos that schools put at the head of their documents.
//
// What is stored is an image and nothing else. An upload is measured before it is decoded, then
// decoded, scaled down to what a document needs and encoded again, so that nothing of the file
// survives but what it shows. The same upload gives the same hash.
//
// [Clean] does all of that; [Service] connects it with the document store and a school's settings.
// The first change: another format is an import in clean.go and a case in its tests.
package logo

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"  // of an animation the first frame is used
	_ "image/jpeg" // accepted format
	"image/png"
	"math"
	"sync"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // accepted format
)

// Limits of an upload. The dimensions are read from the header, before any pixel is decoded.
const (
	MaxBytes  = 2 << 20
	MaxSide   = 8192
	MaxPixels = 16 << 20
)

// Limits of a stored logo in pixels: enough for two centimeters in print, or for a strip across the
// page.
const (
	StoredSide   = 2048
	StoredPixels = 512 * 512
)

// maxDecoded is the memory in bytes that the pixels of an upload may take: MaxPixels of them in
// usual colours, and half as many with 16 bits for a colour.
const maxDecoded = 4 * MaxPixels

// Reasons why an upload is refused.
var (
	ErrUnreadable = errors.New("the logo must be a readable PNG, JPEG, GIF or WebP image")
	ErrTooLarge   = fmt.Errorf("the logo must have at most %d bytes, %d pixels per side and %d pixels in total", MaxBytes, MaxSide, MaxPixels)
)

// decodeMu lets one image be decoded at a time: a small file may need a hundred times its size in
// memory.
var decodeMu sync.Mutex

// Clean returns an upload as a PNG made from its pixels alone. The error is [ErrUnreadable] or
// [ErrTooLarge].
func Clean(data []byte) ([]byte, error) {
	if len(data) > MaxBytes {
		return nil, ErrTooLarge
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || config.Width < 1 || config.Height < 1 {
		return nil, ErrUnreadable
	}
	bytesPerPixel := 4
	switch config.ColorModel {
	case color.NRGBA64Model, color.RGBA64Model:
		bytesPerPixel = 8
	}
	if config.Width > MaxSide || config.Height > MaxSide ||
		config.Width*config.Height*bytesPerPixel > maxDecoded {
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

// decode turns a panic into an error: the file comes from outside, and there are four decoders.
func decode(data []byte) (picture image.Image, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	picture, _, err = image.Decode(bytes.NewReader(data))
	return picture, err
}

// shrink returns an image of at most StoredSide pixels per side and StoredPixels in all.
func shrink(picture image.Image) image.Image {
	size := picture.Bounds().Size()
	scale := min(1, StoredSide/float64(max(size.X, size.Y)),
		math.Sqrt(StoredPixels/float64(size.X*size.Y)))
	width := max(1, int(float64(size.X)*scale))
	height := max(1, int(float64(size.Y)*scale))
	small := image.NewNRGBA(image.Rect(0, 0, width, height))
	if width == size.X && height == size.Y {
		draw.Draw(small, small.Bounds(), picture, picture.Bounds().Min, draw.Src)
	} else {
		draw.CatmullRom.Scale(small, small.Bounds(), picture, picture.Bounds(), draw.Src, nil)
	}
	return small
}
