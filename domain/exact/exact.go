// Package exact adds up parts of days and other small fractions without rounding. What a school
// counts is made of few denominators: halves, the periods of a day, the days of a term. So sums are
// stored by denominator, in whole numbers, and become one fraction when they are compared or shown.
package exact

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Fraction is a part of a whole, between 0 and 1. The zero value is 0.
type Fraction struct{ Num, Den int64 }

// maxDen bounds the denominators of fractions that are written by people.
const maxDen = 1000

// Whole is the fraction 1.
func Whole() Fraction { return Fraction{1, 1} }

// ParseFraction reads "1/6", "0.5" or "1".
func ParseFraction(s string) (Fraction, error) {
	r, ok := new(big.Rat).SetString(s)
	if !ok || len(s) > 16 || strings.ContainsAny(s, "eEpPxX_") ||
		r.Sign() < 0 || r.Cmp(big.NewRat(1, 1)) > 0 || r.Denom().Cmp(big.NewInt(maxDen)) > 0 {
		return Fraction{}, fmt.Errorf("%.20q is not a part of a day between 0 and 1, for example "+
			"1/2 or 0.25, with a denominator of at most %d", s, maxDen)
	}
	return Fraction{r.Num().Int64(), r.Denom().Int64()}, nil
}

// MarshalText writes "1/6".
func (f Fraction) MarshalText() ([]byte, error) {
	b := strconv.AppendInt(nil, f.Num, 10)
	if f.Num == 0 || f.Den == 1 {
		return b, nil
	}
	return strconv.AppendInt(append(b, '/'), f.Den, 10), nil
}

// UnmarshalText reads what [ParseFraction] reads.
func (f *Fraction) UnmarshalText(b []byte) (err error) {
	*f, err = ParseFraction(string(b))
	return err
}

// Rat is the fraction as a rational number.
func (f Fraction) Rat() *big.Rat {
	if f.Num == 0 {
		return new(big.Rat)
	}
	return big.NewRat(f.Num, f.Den)
}

// Sum is a sum of fractions. The zero value is 0. A copy shares its terms: only one of the two may
// be added to.
type Sum struct {
	terms []Fraction // of different denominators
}

// Add adds num/den.
func (s *Sum) Add(num, den int64) {
	if num == 0 {
		return
	}
	for i := range s.terms {
		if s.terms[i].Den == den {
			s.terms[i].Num += num
			return
		}
	}
	s.terms = append(s.terms, Fraction{num, den})
}

// Plus adds another sum.
func (s *Sum) Plus(o *Sum) {
	for _, t := range o.terms {
		s.Add(t.Num, t.Den)
	}
}

// Rat is the sum as one rational number.
func (s *Sum) Rat() *big.Rat {
	all := new(big.Rat)
	for _, t := range s.terms {
		all.Add(all, big.NewRat(t.Num, t.Den))
	}
	return all
}

// IsZero reports that the sum is 0.
func (s *Sum) IsZero() bool { return s.Rat().Sign() == 0 }

// Compare compares a · x with b · y.
func Compare(a int64, x *Sum, b int64, y *Sum) int {
	ax, by := x.Rat(), y.Rat()
	ax.Mul(ax, big.NewRat(a, 1))
	return ax.Cmp(by.Mul(by, big.NewRat(b, 1)))
}

// Round returns a rational number with some decimal digits, halves away from zero.
func Round(r *big.Rat, digits int) float64 {
	v, _ := strconv.ParseFloat(r.FloatString(digits), 64) // it has written a number
	return v
}
