package numbers

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
)

// Object and List are what results are made of; other values in them are texts, *Number, and nil
// where the response has null.
type (
	Object map[string]any
	List   []any
)

// Term is what one event adds to a number. What adds nothing is listed too when the number would be
// another one without it, or when what it adds is taken away by another event.
type Term struct {
	Event *domain.Envelope
	Added *big.Rat
}

// Number is a sum over events, or the quotient of two.
type Number struct {
	Exact *big.Rat
	Terms []Term // of a sum, by position; they add up to Exact
	// Numerator and Denominator are those of a quotient.
	Numerator, Denominator *Number
	// Digits is how many decimals are shown; what is left is rounded half away from zero.
	Digits int
}

// Shown is the number as a response has it.
func (n *Number) Shown() string {
	text := n.Exact.FloatString(n.Digits)
	if n.Digits == 0 {
		return text
	}
	// JSON has no zeros at the end
	for text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	if text[len(text)-1] == '.' {
		text = text[:len(text)-1]
	}
	if text == "-0" {
		return "0"
	}
	return text
}

// sum makes a number of what events add.
func sum(parts ...[]Term) *Number {
	n := &Number{Exact: new(big.Rat)}
	at := map[*domain.Envelope]int{}
	for _, part := range parts {
		for _, t := range part {
			i, there := at[t.Event]
			if !there {
				i = len(n.Terms)
				at[t.Event] = i
				n.Terms = append(n.Terms, Term{t.Event, new(big.Rat)})
			}
			n.Terms[i].Added.Add(n.Terms[i].Added, t.Added)
			n.Exact.Add(n.Exact, t.Added)
		}
	}
	slices.SortFunc(n.Terms, func(a, b Term) int {
		return cmp.Compare(a.Event.Position.Offset, b.Event.Position.Offset)
	})
	return n
}

// quotient divides; nil, which is shown as null, by nothing.
func quotient(numerator, denominator *Number, digits int) any {
	if denominator.Exact.Sign() == 0 {
		return nil
	}
	return &Number{
		Exact:     new(big.Rat).Quo(numerator.Exact, denominator.Exact),
		Numerator: numerator, Denominator: denominator, Digits: digits,
	}
}

// adds is a term of a whole number.
func adds(e *domain.Envelope, amount int64) Term {
	return Term{e, new(big.Rat).SetInt64(amount)}
}

// negative turns the signs of terms.
func negative(terms []Term) []Term {
	turned := make([]Term, len(terms))
	for i, t := range terms {
		turned[i] = Term{t.Event, new(big.Rat).Neg(t.Added)}
	}
	return turned
}

var one = big.NewRat(1, 1)

// Part is one event of a number: what it adds to a sum, or to both parts of a quotient.
type Part struct {
	Event                         *domain.Envelope
	Added, Numerator, Denominator *big.Rat
}

// Events returns the events that a number is made of, in the order of the log.
func (n *Number) Events() []Part {
	if n.Numerator == nil {
		parts := make([]Part, len(n.Terms))
		for i, t := range n.Terms {
			parts[i] = Part{Event: t.Event, Added: t.Added}
		}
		return parts
	}
	both := map[*domain.Envelope]*Part{}
	part := func(e *domain.Envelope) *Part {
		if both[e] == nil {
			both[e] = &Part{Event: e, Numerator: new(big.Rat), Denominator: new(big.Rat)}
		}
		return both[e]
	}
	for _, t := range n.Numerator.Terms {
		part(t.Event).Numerator = t.Added
	}
	for _, t := range n.Denominator.Terms {
		part(t.Event).Denominator = t.Added
	}
	parts := make([]Part, 0, len(both))
	for _, p := range both {
		parts = append(parts, *p)
	}
	slices.SortFunc(parts, func(a, b Part) int {
		return cmp.Compare(a.Event.Position.Offset, b.Event.Position.Offset)
	})
	return parts
}
