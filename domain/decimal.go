package domain

import (
	"fmt"
	"strconv"
)

// Decimal is a number with up to four digits after the point, held exactly, as a whole number of
// ten-thousandths: 12.5 is 125,000. Sums and comparisons of decimals are those of integers, so no
// number of an event passes through a binary fraction.
type Decimal int64

// DecimalUnit is the number 1 as a [Decimal].
const DecimalUnit Decimal = 10_000

const (
	decimalDigits = 4
	maxDecimal    = 1_000_000_000_000_000
)

// ParseDecimal reads a number as JSON writes it. One with more digits after the point is rounded,
// half away from zero, and is then not exact; a positive one never becomes zero by that. ok is false
// for a number that is too large.
func ParseDecimal(number []byte) (d Decimal, exact, ok bool) {
	negative := len(number) > 0 && number[0] == '-'
	if negative {
		number = number[1:]
	}
	number, exponent := splitExponent(number)
	point := len(number)
	for i, c := range number {
		if c == '.' {
			point = i
		}
	}
	length := point + exponent + decimalDigits // digits, from the first on, that are in the result
	exact = true
	var rest byte // the first digit behind them
	at := 0       // of a digit, not counting the point
	for _, c := range number {
		if c == '.' {
			continue
		}
		digit := c - '0'
		switch {
		case at < length:
			if d = 10*d + Decimal(digit); d > maxDecimal {
				return 0, false, false
			}
		case digit != 0:
			exact = false
			if at == length {
				rest = digit
			}
		}
		at++
	}
	for ; at < length && d > 0; at++ {
		if d *= 10; d > maxDecimal {
			return 0, false, false
		}
	}
	if rest >= 5 || d == 0 && !exact {
		d++
	}
	if negative {
		d = -d
	}
	return d, exact, true
}

// splitExponent splits "1.5e3" into "1.5" and 3. An exponent beyond what any number of an event
// needs is as good as a thousand.
func splitExponent(number []byte) (mantissa []byte, exponent int) {
	for i, c := range number {
		if c != 'e' && c != 'E' {
			continue
		}
		const limit = 1000
		n, err := strconv.Atoi(string(number[i+1:]))
		switch {
		case err == nil && n > -limit && n < limit:
			return number[:i], n
		case number[i+1] == '-':
			return number[:i], -limit - len(number)
		default:
			return number[:i], limit
		}
	}
	return number, 0
}

// String writes the number without zeros at its end: "12.5".
func (d Decimal) String() string { return string(d.Append(nil)) }

// Append appends what String returns, which is also how JSON writes it.
func (d Decimal) Append(b []byte) []byte {
	n := uint64(d)
	if d < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendUint(b, n/uint64(DecimalUnit), 10)
	fraction := n % uint64(DecimalUnit)
	if fraction == 0 {
		return b
	}
	b = append(b, '.')
	for unit := uint64(DecimalUnit) / 10; fraction > 0; unit /= 10 {
		b = append(b, byte('0'+fraction/unit))
		fraction %= unit
	}
	return b
}

// Float64 returns the number for what is drawn, never for what is compared or added up.
func (d Decimal) Float64() float64 { return float64(d) / float64(DecimalUnit) }

// MarshalJSON implements [encoding/json.Marshaler].
func (d Decimal) MarshalJSON() ([]byte, error) { return d.Append(nil), nil }

// UnmarshalJSON implements [encoding/json.Unmarshaler]. It rounds as [ParseDecimal] does.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '-' && (b[0] < '0' || b[0] > '9') {
		return fmt.Errorf("%.20q is not a number", b)
	}
	n, _, ok := ParseDecimal(b)
	if !ok {
		return fmt.Errorf("%.20q is too large", b)
	}
	*d = n
	return nil
}
