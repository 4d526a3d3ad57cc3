package page

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Flags of a component of a composite glyph.
const (
	wordArguments = 1 << 0
	hasScale      = 1 << 3
	moreParts     = 1 << 5
	hasTwoScales  = 1 << 6
	hasMatrix     = 1 << 7
)

// closure returns the used glyphs, the components that they are made of, and .notdef, in order.
func (t *typeface) closure(used map[uint16]bool) []uint16 {
	all := map[uint16]bool{}
	var add func(glyph uint16)
	add = func(glyph uint16) {
		if all[glyph] {
			return
		}
		all[glyph] = true
		for _, part := range parts(t.outline(glyph)) {
			add(part)
		}
	}
	add(0)
	for glyph := range used {
		add(glyph)
	}
	return slices.Sorted(maps.Keys(all))
}

// parts returns the components of a composite glyph.
func parts(outline []byte) []uint16 {
	if len(outline) < 10 || int16(binary.BigEndian.Uint16(outline)) >= 0 {
		return nil
	}
	var glyphs []uint16
	for at := 10; at+4 <= len(outline); {
		flags := binary.BigEndian.Uint16(outline[at:])
		glyphs = append(glyphs, binary.BigEndian.Uint16(outline[at+2:]))
		at += 6
		if flags&wordArguments != 0 {
			at += 2
		}
		switch {
		case flags&hasScale != 0:
			at += 2
		case flags&hasTwoScales != 0:
			at += 4
		case flags&hasMatrix != 0:
			at += 8
		}
		if flags&moreParts == 0 {
			break
		}
	}
	return glyphs
}

// subset returns a font with only these glyphs, under their original numbers, so that composites
// need no rewriting. It has only the tables that a PDF reader needs.
func (t *typeface) subset(glyphs []uint16) []byte {
	count := int(glyphs[len(glyphs)-1]) + 1
	var glyf []byte
	loca, hmtx := make([]byte, 4*(count+1)), make([]byte, 4*count)
	next := 0
	for _, glyph := range glyphs {
		for ; next <= int(glyph); next++ {
			binary.BigEndian.PutUint32(loca[4*next:], uint32(len(glyf)))
		}
		glyf = append(glyf, t.outline(glyph)...)
		glyf = append(glyf, make([]byte, -len(glyf)&3)...)
		binary.BigEndian.PutUint16(hmtx[4*int(glyph):], uint16(t.advance(glyph)))
		binary.BigEndian.PutUint16(hmtx[4*int(glyph)+2:], uint16(t.bearing(glyph)))
	}
	binary.BigEndian.PutUint32(loca[4*count:], uint32(len(glyf)))

	head, hhea, maxp := slices.Clone(t.head), slices.Clone(t.hhea), slices.Clone(t.maxp)
	binary.BigEndian.PutUint32(head[8:], 0)  // the checksum of the file is computed without itself
	binary.BigEndian.PutUint16(head[50:], 1) // long locations
	binary.BigEndian.PutUint16(hhea[34:], uint16(count))
	binary.BigEndian.PutUint16(maxp[4:], uint16(count))
	return assemble([]table{
		{"glyf", glyf},
		{"head", head},
		{"hhea", hhea},
		{"hmtx", hmtx},
		{"loca", loca},
		{"maxp", maxp},
	})
}

type table struct {
	tag  string
	data []byte
}

// assemble puts tables, sorted by tag, together to a font file.
func assemble(tables []table) []byte {
	power := 1
	for power*2 <= len(tables) {
		power *= 2
	}
	log := 0
	for 1<<(log+1) <= len(tables) {
		log++
	}
	file := binary.BigEndian.AppendUint32(nil, 0x00010000)
	for _, v := range []int{len(tables), 16 * power, log, 16 * (len(tables) - power)} {
		file = binary.BigEndian.AppendUint16(file, uint16(v))
	}
	offset, head := len(file)+16*len(tables), 0
	for _, t := range tables {
		if t.tag == "head" {
			head = offset
		}
		file = append(file, t.tag...)
		file = binary.BigEndian.AppendUint32(file, checksum(t.data))
		file = binary.BigEndian.AppendUint32(file, uint32(offset))
		file = binary.BigEndian.AppendUint32(file, uint32(len(t.data)))
		offset += (len(t.data) + 3) &^ 3
	}
	for _, t := range tables {
		file = append(file, t.data...)
		file = append(file, make([]byte, -len(file)&3)...)
	}
	binary.BigEndian.PutUint32(file[head+8:], 0xB1B0AFBA-checksum(file))
	return file
}

func checksum(data []byte) (sum uint32) {
	for ; len(data) >= 4; data = data[4:] {
		sum += binary.BigEndian.Uint32(data)
	}
	if len(data) > 0 {
		var last [4]byte
		copy(last[:], data)
		sum += binary.BigEndian.Uint32(last[:])
	}
	return sum
}
