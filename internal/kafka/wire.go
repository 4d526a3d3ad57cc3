package kafka

import (
	"encoding/binary"
	"errors"
)

// The primitive types of Kafka's protocol, in its "flexible" encoding: lengths are unsigned varints
// counted from one, zero being null, and each structure ends with tagged fields.

// encoder appends to a request.
type encoder []byte

func (e *encoder) int8(v int8)       { *e = append(*e, byte(v)) }
func (e *encoder) int16(v int16)     { *e = binary.BigEndian.AppendUint16(*e, uint16(v)) }
func (e *encoder) int32(v int32)     { *e = binary.BigEndian.AppendUint32(*e, uint32(v)) }
func (e *encoder) int64(v int64)     { *e = binary.BigEndian.AppendUint64(*e, uint64(v)) }
func (e *encoder) varint(v int64)    { *e = binary.AppendVarint(*e, v) }
func (e *encoder) uvarint(v uint64)  { *e = binary.AppendUvarint(*e, v) }
func (e *encoder) raw(b []byte)      { *e = append(*e, b...) }
func (e *encoder) array(n int)       { e.uvarint(uint64(n) + 1) }
func (e *encoder) null()             { e.uvarint(0) }
func (e *encoder) noTags()           { e.uvarint(0) }
func (e *encoder) string(s string)   { e.array(len(s)); *e = append(*e, s...) }
func (e *encoder) bytes(b []byte)    { e.array(len(b)); e.raw(b) }
func (e *encoder) varbytes(b []byte) { e.varint(int64(len(b))); e.raw(b) }

var errMalformed = errors.New("malformed response from the broker")

// decoder reads a response. After a fault all reads return zero values, and err reports it.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) err() error {
	if d.bad {
		return errMalformed
	}
	return nil
}

// take returns the next n bytes, which stay part of the response's buffer.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) int8() int8 {
	if b := d.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (d *decoder) int16() int16 {
	if b := d.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *decoder) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// length reads the length of an array, a string or bytes; null counts as none.
func (d *decoder) length() int {
	n := d.uvarint()
	if n == 0 {
		return 0
	}
	if n-1 > uint64(len(d.b)) { // every element takes a byte or more
		d.bad, d.b = true, nil
		return 0
	}
	return int(n - 1)
}

func (d *decoder) bytes() []byte  { return d.take(d.length()) }
func (d *decoder) string() string { return string(d.bytes()) }

// varbytes reads bytes as they stand in records: a signed length, of which -1 means null.
func (d *decoder) varbytes() []byte {
	n := d.varint()
	if n < 0 {
		return nil
	}
	if n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) tags() {
	for range d.count() {
		d.uvarint()
		n := d.uvarint()
		d.take(int(min(n, uint64(len(d.b)+1))))
	}
}

// count reads the number of tagged fields, which is not counted from one.
func (d *decoder) count() int {
	return int(min(d.uvarint(), uint64(len(d.b))))
}
