package projections

// bloom is a set of hashes that may answer "yes" wrongly but never "no": it remembers which rows were evicted from
// memory, so that only those are looked up in the store again. It grows by layers, each twice as large as the one before.
type bloom struct {
	layers []bloomLayer
}

type bloomLayer struct {
	bits []uint64
	free int // keys it still takes at about one false answer in a hundred
}

const (
	bloomFirstKeys = 1 << 13
	bloomBitsAKey  = 10
	bloomProbes    = 7
)

func newBloom() *bloom { return &bloom{} }

func (b *bloom) add(h uint64) {
	if n := len(b.layers); n == 0 || b.layers[n-1].free == 0 {
		keys := bloomFirstKeys << n
		b.layers = append(b.layers, bloomLayer{bits: make([]uint64, keys*bloomBitsAKey/64), free: keys})
	}
	l := &b.layers[len(b.layers)-1]
	l.free--
	for i := range uint64(bloomProbes) {
		word, bit := l.probe(h, i)
		l.bits[word] |= bit
	}
}

func (b *bloom) has(h uint64) bool {
	if b == nil {
		return false
	}
	for i := range b.layers {
		if b.layers[i].has(h) {
			return true
		}
	}
	return false
}

func (l *bloomLayer) has(h uint64) bool {
	for i := range uint64(bloomProbes) {
		if word, bit := l.probe(h, i); l.bits[word]&bit == 0 {
			return false
		}
	}
	return true
}

// probe is double hashing: the i-th place is h1 + i·h2 (Kirsch and Mitzenmacher, 2006).
func (l *bloomLayer) probe(h, i uint64) (word int, bit uint64) {
	place := (h + i*(h>>32|1)) % uint64(len(l.bits)*64)
	return int(place / 64), 1 << (place % 64)
}
