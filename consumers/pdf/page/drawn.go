package page

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
)

// drawn draws the glyphs of any font again, as TrueType describes them. Fonts of Chinese, Japanese
// and Korean have cubic curves and a table of their own for them, which would need a subsetter of
// its own, and others have another resolution.
type drawn struct {
	scale float32 // from the font's units to ours

	mu   sync.Mutex // a face is for one goroutine
	face *font.Face
}

func (d *drawn) advance(glyph uint16) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return rounded(d.face.HorizontalAdvance(font.GID(glyph)) * d.scale)
}

func (d *drawn) bearing(glyph uint16) int16 {
	outline := d.outline(glyph)
	if len(outline) == 0 {
		return 0
	}
	return int16(binary.BigEndian.Uint16(outline[2:]))
}

// outline writes a glyph as one of the table glyf: its box, the ends of its contours, and then the
// flags and coordinates of its points.
func (d *drawn) outline(glyph uint16) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	shape, ok := d.face.GlyphData(font.GID(glyph)).(font.GlyphOutline)
	if !ok || len(shape.Segments) == 0 {
		return nil
	}
	var c contours
	for _, s := range shape.Segments {
		c.add(s, d.scale)
	}
	return c.glyph()
}

// point is a point of a contour: on the curve, or the handle of a quadratic curve.
type point struct {
	x, y int
	on   bool
}

// contours gathers the points of a glyph.
type contours struct {
	points []point
	ends   []int // the index of each contour's last point
	at     opentype.SegmentPoint
}

// maxDeviation is how far a quadratic curve may lie from the cubic one that it replaces: less than
// the rounding of its points.
const maxDeviation = 0.4

func (c *contours) add(s opentype.Segment, scale float32) {
	var p [3]opentype.SegmentPoint
	for i, a := range s.Args {
		p[i] = opentype.SegmentPoint{X: a.X * scale, Y: a.Y * scale}
	}
	switch s.Op {
	case opentype.SegmentOpMoveTo:
		c.close()
		c.put(p[0], true)
	case opentype.SegmentOpLineTo:
		c.put(p[0], true)
	case opentype.SegmentOpQuadTo:
		c.put(p[0], false)
		c.put(p[1], true)
	case opentype.SegmentOpCubeTo:
		c.cubic(c.at, p[0], p[1], p[2])
	}
}

// cubic puts as many quadratic curves as are needed in the place of a cubic one.
func (c *contours) cubic(p0, p1, p2, p3 opentype.SegmentPoint) {
	// The distance of a cubic curve to the best quadratic one, which falls with the cube of the
	// number of parts.
	dx := float64(p3.X - 3*p2.X + 3*p1.X - p0.X)
	dy := float64(p3.Y - 3*p2.Y + 3*p1.Y - p0.Y)
	deviation := math.Sqrt(3) / 36 * math.Hypot(dx, dy)
	parts := max(1, int(math.Ceil(math.Cbrt(deviation/maxDeviation))))
	position := func(t float32) opentype.SegmentPoint {
		u := 1 - t
		a, b, e, f := u*u*u, 3*u*u*t, 3*u*t*t, t*t*t
		return opentype.SegmentPoint{
			X: a*p0.X + b*p1.X + e*p2.X + f*p3.X, Y: a*p0.Y + b*p1.Y + e*p2.Y + f*p3.Y,
		}
	}
	slope := func(t float32) opentype.SegmentPoint { // a third of the derivative
		u := 1 - t
		return opentype.SegmentPoint{
			X: u*u*(p1.X-p0.X) + 2*u*t*(p2.X-p1.X) + t*t*(p3.X-p2.X),
			Y: u*u*(p1.Y-p0.Y) + 2*u*t*(p2.Y-p1.Y) + t*t*(p3.Y-p2.Y),
		}
	}
	step := 1 / float32(parts)
	for i := range parts {
		from, to := float32(i)*step, float32(i+1)*step
		a, b, da, db := position(from), position(to), slope(from), slope(to)
		// the mean of the handles that the slopes at both ends ask for
		c.put(opentype.SegmentPoint{
			X: (a.X+b.X)/2 + step*(da.X-db.X)*3/4, Y: (a.Y+b.Y)/2 + step*(da.Y-db.Y)*3/4,
		}, false)
		c.put(b, true)
	}
}

func (c *contours) put(p opentype.SegmentPoint, on bool) {
	if on {
		c.at = p
	}
	c.points = append(c.points, point{rounded(p.X), rounded(p.Y), on})
}

// close ends a contour. The last point of one that returns to its first point is left out: contours
// are closed anyway.
func (c *contours) close() {
	first := 0
	if n := len(c.ends); n > 0 {
		first = c.ends[n-1] + 1
	}
	last := len(c.points) - 1
	if last > first && c.points[last] == c.points[first] {
		c.points = c.points[:last]
		last--
	}
	if last >= first {
		c.ends = append(c.ends, last)
	}
}

// onCurve is the flag of a point on the curve.
const onCurve = 1

func (c *contours) glyph() []byte {
	c.close()
	if len(c.points) == 0 {
		return nil
	}
	box := [4]int{c.points[0].x, c.points[0].y, c.points[0].x, c.points[0].y}
	for _, p := range c.points {
		box = [4]int{min(box[0], p.x), min(box[1], p.y), max(box[2], p.x), max(box[3], p.y)}
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(len(c.ends)))
	for _, v := range box {
		b = binary.BigEndian.AppendUint16(b, uint16(int16(v)))
	}
	for _, e := range c.ends {
		b = binary.BigEndian.AppendUint16(b, uint16(e))
	}
	b = append(b, 0, 0) // no instructions
	for _, p := range c.points {
		flag := byte(0)
		if p.on {
			flag = onCurve
		}
		b = append(b, flag)
	}
	x, y := 0, 0
	for _, p := range c.points {
		b = binary.BigEndian.AppendUint16(b, uint16(int16(p.x-x)))
		x = p.x
	}
	for _, p := range c.points {
		b = binary.BigEndian.AppendUint16(b, uint16(int16(p.y-y)))
		y = p.y
	}
	return b
}

func rounded(v float32) int { return int(math.Round(float64(v))) }
