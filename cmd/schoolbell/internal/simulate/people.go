package simulate

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/schoolbell/schoolbell/domain/fee"
)

// country is where a school is: what money it takes, how it is paid, and what telephone numbers
// look like.
type country struct {
	currency string
	tuition  int64  // a term's, in minor units
	phone    string // each N stands for a digit
	methods  []string
	cultures []int
}

// countries use the telephone numbers that are reserved for fiction, where there are any. In
// methods and cultures, what is more frequent is listed more often.
var countries = []country{
	{
		currency: "KES", tuition: 2_450_000, phone: "+254 700 000 NNN",
		methods:  []string{fee.MobileMoney, fee.MobileMoney, fee.MobileMoney, fee.Bank, fee.Cash},
		cultures: []int{kenyan, kenyan, kenyan, nigerian, arabic, english},
	},
	{
		currency: "NGN", tuition: 18_500_000, phone: "+234 802 000 NNNN",
		methods:  []string{fee.Bank, fee.Bank, fee.MobileMoney, fee.Cash, fee.Card},
		cultures: []int{nigerian, nigerian, nigerian, english, arabic},
	},
	{
		currency: "EUR", tuition: 42_000, phone: "+49 171 39200NN",
		methods:  []string{fee.Bank, fee.Bank, fee.Bank, fee.Card},
		cultures: []int{german, german, german, turkish, arabic, slavic, english},
	},
	{
		currency: "EUR", tuition: 39_500, phone: "+33 6 39 98 NN NN",
		methods:  []string{fee.Card, fee.Bank, fee.Bank, fee.Cash},
		cultures: []int{french, french, french, arabic, vietnamese, spanish},
	},
	{
		currency: "USD", tuition: 61_000, phone: "(2NN) 555-01NN",
		methods:  []string{fee.Card, fee.Card, fee.Bank, fee.Cash},
		cultures: []int{english, english, spanish, spanish, chinese, vietnamese, hindi, hebrew},
	},
	{
		currency: "MXN", tuition: 480_000, phone: "+52 55 0000 NNNN",
		methods:  []string{fee.Cash, fee.Card, fee.Bank},
		cultures: []int{spanish, spanish, spanish, spanish, english},
	},
}

// person is a name in a culture.
type person struct {
	given, family string
	of            *culture
}

func (c *country) person(r *rand.Rand) person {
	of := &cultures[c.cultures[r.IntN(len(c.cultures))]]
	return person{given: pick(r, of.given), family: pick(r, of.family), of: of}
}

// relative has the same family name and a given name of their own.
func (p person) relative(r *rand.Rand) person {
	p.given = pick(r, p.of.given)
	return p
}

// String is the name as it is written in the culture.
func (p person) String() string {
	if p.of == &cultures[chinese] {
		return p.family + p.given
	}
	return p.given + " " + p.family
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// number makes up a telephone number.
func (c *country) number(r *rand.Rand) string {
	b := []byte(c.phone)
	for i := range b {
		if b[i] == 'N' {
			b[i] = byte('0' + r.IntN(10))
		}
	}
	return string(b)
}

// email is an address at a domain that is reserved for examples.
func email(id string) string { return id + "@example.org" }

// numbered writes a number behind a prefix, with leading zeros.
func numbered(prefix string, n, width int) string {
	digits := strconv.Itoa(n)
	return prefix + strings.Repeat("0", max(0, width-len(digits))) + digits
}
