package marks

import (
	"math/big"
	"math/bits"

	"github.com/schoolbell/schoolbell/domain"
)

// Sum adds up values exactly. The zero value is of nothing. It holds one part for each different
// maximum, of which a school has few, in each category.
type Sum struct {
	parts []part
	count int64
}

// part adds up values that have all but their scores in common.
type part struct {
	partKey
	values, score int64
}

// mean is the average of the part by itself.
func (p *part) mean() Value { return Value{Score: p.score, Max: p.max * p.values} }

type partKey struct {
	category   string
	weight     domain.Decimal
	max, tries int64
}

// Add adds a value of a kind that counts.
func (s *Sum) Add(k Kind, v Value) {
	key := partKey{k.Category, k.Weight, v.Max, v.Tries}
	if key.weight == 0 {
		key.weight = domain.DecimalUnit
	}
	s.add(part{key, 1, v.Score})
}

// AddSum adds what another sum holds.
func (s *Sum) AddSum(o *Sum) {
	for _, p := range o.parts {
		s.add(p)
	}
}

func (s *Sum) add(p part) {
	s.count += p.values
	for i := range s.parts {
		if s.parts[i].partKey == p.partKey {
			s.parts[i].values += p.values
			s.parts[i].score += p.score
			return
		}
	}
	s.parts = append(s.parts, p)
}

// Count returns how many values were added.
func (s *Sum) Count() int64 { return s.count }

// Average returns the average by a school's method, and whether there is one.
func (s *Sum) Average(r *Rules) (a Average, ok bool) {
	if s.count == 0 {
		return a, false
	}
	a = Average{sum: s, rules: r}
	if a.key, ok = s.quick(r.Method); !ok {
		n, d := s.fraction(r)
		n.Mul(n, big.NewInt(keyUnit))
		a.key = n.Quo(n, d).Int64()
	}
	return a, true
}

// fine is what quick calculates in, so that all of its truncations together are less than one unit of
// a key.
const fine = 1000 * keyUnit

// quick returns the key of an average by integers of 128 bits. The methods points and weights need more
// where attempts are added up or weights differ.
func (s *Sum) quick(m Method) (key int64, ok bool) {
	if m == Weights {
		return 0, false
	}
	var hi, lo, by uint64
	for i := range s.parts {
		p := &s.parts[i]
		if m == Points {
			if p.tries > 1 {
				return 0, false
			}
			lo += uint64(p.score)
			by += uint64(p.values) * uint64(p.max)
			continue
		}
		whole, rest := uint64(p.score)/uint64(p.max), uint64(p.score)%uint64(p.max)
		over, under := bits.Mul64(rest, fine)
		under, _ = bits.Div64(over, under, uint64(p.max))
		over, whole = bits.Mul64(whole, fine)
		var carry uint64
		lo, carry = bits.Add64(lo, whole, 0)
		hi, _ = bits.Add64(hi, over, carry)
		lo, carry = bits.Add64(lo, under, 0)
		hi += carry
	}
	if m == Points {
		hi, lo = bits.Mul64(lo, fine)
	} else {
		by = uint64(s.count)
	}
	if hi >= by {
		return 0, false // no scores of a school add up to that
	}
	quotient, _ := bits.Div64(hi, lo, by)
	return int64(quotient / (fine / keyUnit)), true
}

// fraction returns the exact average as a numerator and a denominator, which are not reduced.
func (s *Sum) fraction(r *Rules) (n, d *big.Int) {
	if r.Method != Weights {
		return averageOf(s.parts, r.Method)
	}
	byCategory := map[string][]part{}
	var names []string
	for _, p := range s.parts {
		if byCategory[p.category] == nil {
			names = append(names, p.category)
		}
		byCategory[p.category] = append(byCategory[p.category], p)
	}
	n, d = new(big.Int), big.NewInt(1)
	all := new(big.Int)
	for _, name := range names {
		weight := big.NewInt(r.Categories[name])
		cn, cd := averageOf(byCategory[name], Weights)
		n, d = plus(n, d, cn.Mul(cn, weight), cd)
		all.Add(all, weight)
	}
	return n, d.Mul(d, all)
}

// averageOf returns the average of parts. For the method weights they are of one category.
func averageOf(parts []part, m Method) (n, d *big.Int) {
	over, overOf := total(parts, func(p *part) (int64, int64, domain.Decimal) {
		switch m {
		case Points:
			return p.score, p.tries, domain.DecimalUnit
		case Weights:
			return p.score, p.max, p.weight
		default:
			return p.score, p.max, domain.DecimalUnit
		}
	})
	under, underOf := total(parts, func(p *part) (int64, int64, domain.Decimal) {
		switch m {
		case Points:
			return p.max * p.values, p.tries, domain.DecimalUnit
		case Weights:
			return p.values, 1, p.weight
		default:
			return p.values, 1, domain.DecimalUnit
		}
	})
	return over.Mul(over, underOf), overOf.Mul(overOf, under)
}

// total adds up a fraction of each part, with its weight. Halves are added by themselves, so that the
// numbers stay small for as long as possible.
func total(parts []part, of func(*part) (n, d int64, weight domain.Decimal)) (n, d *big.Int) {
	if len(parts) == 1 {
		pn, pd, weight := of(&parts[0])
		n = big.NewInt(pn)
		return n.Mul(n, big.NewInt(int64(weight))), big.NewInt(pd)
	}
	an, ad := total(parts[:len(parts)/2], of)
	bn, bd := total(parts[len(parts)/2:], of)
	return plus(an, ad, bn, bd)
}

// plus adds two fractions. It changes them.
func plus(an, ad, bn, bd *big.Int) (n, d *big.Int) {
	if ad.Cmp(bd) == 0 {
		return an.Add(an, bn), ad
	}
	an.Mul(an, bd)
	bn.Mul(bn, ad)
	return an.Add(an, bn), ad.Mul(ad, bd)
}
