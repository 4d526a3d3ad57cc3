package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

func testCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec()
	require.NoError(t, err)
	return c
}

// drawCalls makes up what several appends may bring.
func drawCalls(t *rapid.T) []*appendCall {
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 40)
	header := rapid.Custom(func(t *rapid.T) eventlog.Header {
		return eventlog.Header{Key: rapid.String().Draw(t, "name"), Value: bytes.Draw(t, "value")}
	})
	record := rapid.Custom(func(t *rapid.T) eventlog.Record {
		return eventlog.Record{
			Headers: rapid.SliceOfN(header, 0, 4).Draw(t, "headers"), Value: bytes.Draw(t, "value"),
		}
	})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *appendCall {
		return &appendCall{
			school:  rapid.String().Draw(t, "school"),
			records: rapid.SliceOfN(record, 1, 5).Draw(t, "records"),
		}
	}), 1, 6).Draw(t, "calls")
}

// What is encoded comes back, from any offset on.
func TestBatchRoundTrip(t *testing.T) {
	t.Parallel()
	c := testCodec(t)
	now := time.UnixMilli(1_700_000_000_123)
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		var want []eventlog.Record
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			calls := drawCalls(t)
			batch := c.encode(calls, now)
			rebase(batch, int64(len(want)))
			data = append(data, batch...)
			for _, call := range calls {
				for _, r := range call.records {
					r.Position = domain.Position{Partition: 3, Offset: int64(len(want))}
					r.Time, r.Key = now, []byte(call.school)
					want = append(want, r)
				}
			}
		}
		from := rapid.IntRange(0, len(want)-1).Draw(t, "from")
		got, err := c.decode(data, 3, int64(from), 1<<20, headerNames{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[from:], got.records, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		if got.next != int64(len(want)) {
			t.Fatalf("next is %d, want %d", got.next, len(want))
		}
	})
}

// rebase does what the broker does with a batch: it gives it its place.
func rebase(batch []byte, base int64) {
	e := encoder(batch[:0])
	e.int64(base)
}

func TestDecodeStopsAtItsLimit(t *testing.T) {
	t.Parallel()
	c := testCodec(t)
	var data []byte
	for i := range 5 {
		batch := c.encode(
			[]*appendCall{{school: "s", records: []eventlog.Record{{Value: make([]byte, 1000)}}}},
			time.Now(),
		)
		rebase(batch, int64(i))
		data = append(data, batch...)
	}
	got, err := c.decode(data, 0, 0, 1500, headerNames{}, nil)
	require.NoError(t, err)
	require.Len(t, got.records, 2)
	require.EqualValues(t, 2, got.next)

	got, err = c.decode(data[:len(data)-1], 0, 0, 1<<20, headerNames{}, nil)
	require.NoError(t, err, "the last batch may be cut short")
	require.Len(t, got.records, 4)
	_, err = c.decode(data[:20], 0, 0, 1<<20, headerNames{}, nil)
	require.ErrorIs(t, err, errMalformed, "but not the only one")

	data[len(data)-1] ^= 1
	_, err = c.decode(data, 0, 4, 1<<20, headerNames{}, nil)
	require.ErrorContains(t, err, "batch at offset 4: checksum")
}

// An endless supply of new header names does not grow the table without bound.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	n := headerNames{}
	for i := range 1000 {
		s := fmt.Sprint(i)
		require.Equal(t, s, n.of([]byte(s)))
	}
	require.Len(t, n, 256)
}

func FuzzDecode(f *testing.F) {
	c := testCodec(f)
	f.Add(
		c.encode(
			[]*appendCall{
				{
					school: "s",
					records: []eventlog.Record{
						{
							Value:   []byte("v"),
							Headers: []eventlog.Header{{Key: "k", Value: []byte("v")}},
						},
					},
				},
			},
			time.Now(),
		),
	)
	f.Add(append(make([]byte, batchHeader), 14, 0, 0, 0, 1, 1, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > batchHeader { // otherwise the checksum rejects nearly everything
			data = slices.Clone(data)
			data[16] = 2
			binary.BigEndian.PutUint32(data[8:], uint32(len(data)-batchPrefix))
			binary.BigEndian.PutUint32(data[crcOffset:],
				crc32.Checksum(data[crcStart:], castagnoli))
		}
		got, err := c.decode(data, 0, 0, 1<<20, headerNames{}, nil)
		if err == nil && len(data) > 0 && got.next <= 0 {
			t.Fatalf("read %d bytes and got nowhere", len(data))
		}
		arena := decoder{b: data}
		arena.tags()
		for !arena.bad && len(arena.b) > 0 {
			arena.varbytes()
		}
	})
}
