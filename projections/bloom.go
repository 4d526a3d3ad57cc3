package projections

// bloom is a set of hashes whose "yes" may be wrong but whose "no" never is: it remembers which
// rows were evicted from memory, so that only those are looked up in the store again. It grows by
// layers, each twice as large as the one before, because nobody knows beforehand how many rows a
// partition has.
type bloom struct {
	layers []bloomLayer
}

type bloomLayer struct {
	bits []uint64
	free int // keys that still fit at about one false positive in a hundred
}

const (
	bloomFirstKeys  = 1 << 13
	bloomBitsPerKey = 10
	bloomProbes     = 7
)

func newBloom() *bloom { return &bloom{} }

func (b *bloom) add(h uint64) {
	if n := len(b.layers); n == 0 || b.layers[n-1].free == 0 {
		keys := bloomFirstKeys << n
		b.layers = append(b.layers,
			bloomLayer{bits: make([]uint64, keys*bloomBitsPerKey/64), free: keys})
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

// probe is double hashing: the i-th bit is h1 + i·h2 (Kirsch and Mitzenmacher, 2006).
func (l *bloomLayer) probe(h, i uint64) (word int, bit uint64) {
	n := (h + i*(h>>32|1)) % uint64(len(l.bits)*64)
	return int(n / 64), 1 << (n % 64)
}
