package budget

import (
	"slices"
	"strconv"

	"github.com/nyaruka/phonenumbers"
)

// Limits are what an operator allows. The zero value limits nothing.
type Limits struct {
	PerSchool int64 // segments of one school on a day
	PerNumber int64 // messages of one school to one number on a day
	// Countries are the calling codes that numbers may have besides the one of their school, for
	// example 33. A school that has not set its own is limited only when there are some here.
	Countries  []string
	AnyCountry bool // lifts the limit of countries
	// NoPremium refuses numbers that cost many times a message.
	NoPremium bool
}

// expensive are kinds of numbers that pay the called party, or cost many times a message.
var expensive = []phonenumbers.PhoneNumberType{
	phonenumbers.PREMIUM_RATE, phonenumbers.SHARED_COST, phonenumbers.UAN,
}

// networks are the calling codes of satellites, international networks and premium services, which
// belong to no country.
var networks = []int{870, 878, 881, 882, 883, 888, 979}

// numberProblem says why no message may be sent to a number, in E.164 form, of a school in a country.
func (l Limits) numberProblem(number, country string) string {
	parsed, err := phonenumbers.Parse(number, "")
	if err != nil {
		return "" // the provider judges it
	}
	code := int(parsed.GetCountryCode())
	if l.NoPremium && (slices.Contains(networks, code) ||
		slices.Contains(expensive, phonenumbers.GetNumberType(parsed))) {
		return "premium numbers and international networks get no messages"
	}
	if l.AnyCountry || country == "" && len(l.Countries) == 0 ||
		strconv.Itoa(code) == country || slices.Contains(l.Countries, strconv.Itoa(code)) {
		return ""
	}
	return "numbers of this country get no messages (--sms-countries)"
}
