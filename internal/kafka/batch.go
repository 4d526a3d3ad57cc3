package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Record batches, in the format that Kafka has used since 0.11 ("magic 2"). kafka-go can read and
// write them as well, but with two allocations for each header of each record; the events here have
// a dozen headers. One batch costs three allocations here: its bytes, its records and their
// headers.

const (
	// batchHeader is the length of what stands before the records.
	batchHeader = 61
	// batchPrefix is the part of it that the length field does not count.
	batchPrefix = 12
	crcOffset   = 17
	crcStart    = 21 // what the checksum covers
	// where a batch has its attributes, and the id of its producer
	attributesOffset = 21
	producerOffset   = 43

	zstdCodec       = 4
	codecMask       = 0x07
	logAppendTime   = 0x08
	transactional   = 0x10
	controlBatch    = 0x20
	maxDecodedBatch = 64 << 20 // what one batch may inflate to
)

// codec writes and reads batches. It is safe for concurrent use: the zstd coders hold the scratch
// memory, which is large, and lend it to one call after the other.
type codec struct {
	zip   *zstd.Encoder
	unzip *zstd.Decoder
}

func newCodec() (*codec, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxDecodedBatch),
		zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &codec{zip: zip, unzip: unzip}, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordBytes is the size of a record in a batch, without compression; a few bytes more than it
// takes.
func recordBytes(school string, r *eventlog.Record) int {
	n := 32 + len(school) + len(r.Value)
	for i := range r.Headers {
		n += 6 + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

// encode makes one batch of the records of several appends, in order.
func (c *codec) encode(calls []*appendCall, now time.Time) []byte {
	var size, count int
	for _, call := range calls {
		size += call.size
		count += len(call.records)
	}
	records := make(encoder, 0, size)
	var scratch encoder
	n := 0
	for _, call := range calls {
		for i := range call.records {
			scratch = appendRecord(scratch[:0], int64(n), call.school, &call.records[i])
			records.varbytes(scratch)
			n++
		}
	}
	b := make(encoder, 0, batchHeader+size/2)
	b.int64(0)  // base offset, which the broker sets
	b.int32(0)  // length, below
	b.int32(-1) // leader epoch
	b.int8(2)   // magic
	b.int32(0)  // checksum, below
	b.int16(zstdCodec)
	b.int32(int32(count - 1)) // last offset, relative
	b.int64(now.UnixMilli())
	b.int64(now.UnixMilli())
	b.int64(-1) // producer: none
	b.int16(-1)
	b.int32(-1)
	b.int32(int32(count))
	b = c.zip.EncodeAll(records, b)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-batchPrefix))
	binary.BigEndian.PutUint32(b[crcOffset:], crc32.Checksum(b[crcStart:], castagnoli))
	return b
}

func appendRecord(e encoder, offset int64, school string, r *eventlog.Record) encoder {
	e.int8(0)   // attributes
	e.varint(0) // time, relative
	e.varint(offset)
	e.varint(int64(len(school)))
	e = append(e, school...)
	if r.Value == nil {
		e.varint(-1)
	} else {
		e.varbytes(r.Value)
	}
	e.varint(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		e.varint(int64(len(h.Key)))
		e = append(e, h.Key...)
		if h.Value == nil {
			e.varint(-1)
		} else {
			e.varbytes(h.Value)
		}
	}
	return e
}

// headerNames remembers the names of headers, of which there are few, so that each is allocated
// once. It belongs to a connection.
type headerNames map[string]string

func (n headerNames) of(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(n) < 256 {
		n[s] = s
	}
	return s
}

// decoded is what a response's batches hold.
type decoded struct {
	records  []eventlog.Record
	next     int64 // the offset after the last batch, or the wanted one
	packed   int   // bytes before decompression
	unpacked int   // and after
}

// decode reads batches until it has limit bytes of records or more. Records below the wanted offset
// are left out, and so are those of aborted transactions. A batch that cannot be decoded, now or
// later, is an [eventlog.UndecodableError], as soon as it comes first.
func (c *codec) decode(
	data []byte, partition int32, want int64, limit int, names headerNames, in *transactions,
) (decoded, error) {
	out := decoded{next: want}
	size := len(data)
	for out.unpacked < limit {
		batch, rest := cutBatch(data)
		if batch == nil {
			break
		}
		base, last := offsetsOf(batch)
		aborted := in.aborts(batch)
		if last >= want && aborted {
			out.next = last + 1
		} else if last >= want {
			if out.records == nil {
				out.records = make([]eventlog.Record, 0, min(countRecords(data), limit/16+1))
			}
			had := len(out.records)
			n, err := c.decodeBatch(batch, partition, want, names, &out.records)
			switch {
			case errors.Is(err, errChecksum): // of a bad line or disk, so it may be right next time
				return decoded{}, fmt.Errorf("batch at offset %d: %w", base, err)
			case err != nil && out.next > want:
				out.records = out.records[:had]
				return out, nil // what came before it
			case err != nil:
				return decoded{}, &eventlog.UndecodableError{
					First: max(base, want), Last: max(base, want, last), Err: err,
				}
			}
			out.packed += len(batch)
			out.unpacked += n
			out.next = last + 1
		}
		data = rest
	}
	if size > 0 && out.next == want { // a reader would fetch the same offset forever
		return decoded{}, fmt.Errorf("%d bytes without a whole batch from offset %d on: %w", size,
			want, errMalformed)
	}
	return out, nil
}

var errChecksum = errors.New("checksum does not match")

// cutBatch separates the first batch from the rest, and returns nil when there is no whole one: a
// broker cuts the last one short.
func cutBatch(data []byte) (batch, rest []byte) {
	if len(data) < batchHeader {
		return nil, nil
	}
	size := batchPrefix + int(int32(binary.BigEndian.Uint32(data[8:])))
	if size < batchHeader || size > len(data) {
		return nil, nil
	}
	return data[:size], data[size:]
}

// offsetsOf returns the offsets of a batch's first and last record.
func offsetsOf(batch []byte) (base, last int64) {
	base = int64(binary.BigEndian.Uint64(batch))
	return base, base + int64(int32(binary.BigEndian.Uint32(batch[23:])))
}

// countRecords returns how many records the batches say they hold.
func countRecords(data []byte) (n int) {
	for batch, rest := cutBatch(data); batch != nil; batch, rest = cutBatch(rest) {
		n += max(0, int(int32(binary.BigEndian.Uint32(batch[57:]))))
	}
	return n
}

// decodeBatch appends the records of one batch and returns their size.
func (c *codec) decodeBatch(
	batch []byte, partition int32, want int64, names headerNames, dst *[]eventlog.Record,
) (int, error) {
	if magic := batch[16]; magic != 2 {
		return 0, fmt.Errorf("format %d, want 2", magic)
	}
	sum := binary.BigEndian.Uint32(batch[crcOffset:])
	if sum != crc32.Checksum(batch[crcStart:], castagnoli) {
		return 0, errChecksum
	}
	d := decoder{b: batch}
	base := d.int64()
	d.take(crcStart - 8)
	attributes := d.int16()
	d.int32() // last offset
	first, latest := d.int64(), d.int64()
	d.take(8 + 2 + 4) // producer
	count := int(d.int32())
	if attributes&controlBatch != 0 {
		return 0, nil
	}
	arena, err := c.unpack(int(attributes&codecMask), d.b)
	if err != nil {
		return 0, err
	}
	if count < 0 || count > len(arena)/7 { // no record is shorter than that
		return 0, errMalformed
	}
	d = decoder{b: arena}
	*dst = slices.Grow(*dst, min(count, len(arena)/64+16))
	var headers []eventlog.Header
	for i := range count {
		length := d.varint()
		if length < 0 || length > int64(len(d.b)) {
			return 0, errMalformed
		}
		r := decoder{b: d.take(int(length))}
		r.int8()
		at := first + r.varint()
		if attributes&logAppendTime != 0 {
			at = latest
		}
		offset := base + r.varint()
		rec := eventlog.Record{
			Position: domain.Position{Partition: partition, Offset: offset},
			Time:     time.UnixMilli(at),
			Key:      r.varbytes(),
			Value:    r.varbytes(),
		}
		n := r.varint()
		if n < 0 || n > int64(len(r.b)) {
			return 0, errMalformed
		}
		if n > 0 {
			if len(headers)+int(n) > cap(headers) {
				// Records of a batch tend to have as many headers each.
				headers = make([]eventlog.Header, 0, min(int(n)*(count-i), len(arena)))
			}
			from := len(headers)
			for range n {
				headers = append(headers,
					eventlog.Header{Key: names.of(r.varbytes()), Value: r.varbytes()})
			}
			rec.Headers = headers[from:len(headers):len(headers)]
		}
		if r.bad {
			return 0, errMalformed
		}
		if offset >= want {
			*dst = append(*dst, rec)
		}
	}
	return len(arena), nil
}

// unpack returns the records' bytes in memory of their own, as the batch's buffer is reused for the
// next response.
func (c *codec) unpack(codec int, b []byte) ([]byte, error) {
	switch codec {
	case 0:
		return bytes.Clone(b), nil
	case zstdCodec:
		return c.unzip.DecodeAll(b, nil)
	default:
		kind := compress.Compression(codec).Codec()
		if kind == nil {
			return nil, fmt.Errorf("unknown compression %d", codec)
		}
		r := kind.NewReader(bytes.NewReader(b))
		defer r.Close()
		out, err := io.ReadAll(io.LimitReader(r, maxDecodedBatch+1))
		if err == nil && len(out) > maxDecodedBatch {
			err = fmt.Errorf("inflates to more than %d bytes", maxDecodedBatch)
		}
		return out, err
	}
}
