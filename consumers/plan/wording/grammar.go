package wording

import (
	"fmt"
	"math"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/currency"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
	"golang.org/x/text/unicode/norm"

	"github.com/schoolbell/schoolbell/domain"
)

// functions are available to templates, for one language.
//
//	{{number .Days}}                           1,200
//	{{money .Amount .Currency}}                1,200.00 EUR
//	{{date .Date}}  {{day .DueOn}}             Monday 31 August 2026, 31 August 2026
//	{{plural .Missed "one" "# day" "other" "# days"}}   the form of the language, # is the number
//	{{if numbered .Term}}                      a term that is only a number and needs a word before it
//	{{sentence .Title}}                        with a full stop, unless it ends in a mark already
//	{{de .Student}}                            French: d'Ada, de Ben
func functions(tag language.Tag) template.FuncMap {
	g := NewGrammar(tag)
	return template.FuncMap{
		"number": func(n float64) string { return g.Number(n) },
		"money": func(amount int64, code string) string {
			return strings.TrimSpace(g.Amount(amount,
				code) + " " + code)
		},
		"day": g.Day,
		"date": func(d domain.Date) string {
			return fmt.Sprintf(g.calendar.date, g.calendar.weekdays[d.Weekday()], g.Day(d))
		},
		"numbered": Numbered,
		"sentence": sentence,
		"de":       de,
		"plural": func(n float64, forms ...string) (string, error) {
			wanted := category(tag, n)
			for i := 0; i+1 < len(forms); i += 2 {
				if forms[i] == wanted {
					return strings.ReplaceAll(forms[i+1], "#", g.Number(n)), nil
				}
			}
			return "", fmt.Errorf("plural form %q is missing for %v", wanted, n)
		},
	}
}

// Numbered reports that a name is only a number, for example the term "1".
func Numbered(name domain.Label) bool {
	return name != "" && strings.Trim(string(name), "0123456789") == ""
}

// sentence ends a text that has no punctuation mark at its end.
func sentence(text string) string {
	if last, _ := utf8.DecodeLastRuneInString(text); unicode.IsPunct(last) &&
		!strings.ContainsRune(`)]"»”’'%-/`, last) {
		return text
	}
	return text + "."
}

// de puts the French preposition before a name. An h may be silent or not, and is treated as a
// consonant.
func de(name string) string {
	first, _ := utf8.DecodeRuneInString(norm.NFD.String(name)) // without an accent
	if strings.ContainsRune("AEIOUaeiouŒœÆæ", first) {
		return "d'" + name
	}
	return "de " + name
}

// Grammar formats numbers, amounts and dates as a language does.
type Grammar struct {
	printer  *message.Printer
	calendar calendar
}

// NewGrammar returns the grammar of a language that [Catalog.Languages] lists, in any country.
func NewGrammar(tag language.Tag) *Grammar {
	base, _ := tag.Base()
	return &Grammar{message.NewPrinter(tag), calendars[base.String()]}
}

// Number formats a number.
func (g *Grammar) Number(n any, options ...number.Option) string {
	return g.printer.Sprint(number.Decimal(n, options...))
}

// Digits writes the digits of a text as the language does.
func (g *Grammar) Digits(text string) string {
	zero, _ := utf8.DecodeRuneInString(g.Number(0))
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return zero + r - '0'
		}
		return r
	}, text)
}

// Percent formats a percentage, for example 81.25, with one decimal.
func (g *Grammar) Percent(percent float64) string {
	return g.printer.Sprint(number.Percent(percent/100, number.Scale(1)))
}

// Average formats a percentage that is already rounded to two decimals, with those that it has.
func (g *Grammar) Average(percent float64) string {
	return g.printer.Sprint(number.Percent(percent/100, number.MinFractionDigits(1),
		number.MaxFractionDigits(2)))
}

// Day formats a date without its weekday.
func (g *Grammar) Day(d domain.Date) string {
	year, month, day := d.Time().Date()
	return fmt.Sprintf(g.calendar.day, g.Number(day), g.calendar.months[month-1],
		g.Number(year, number.NoSeparator()))
}

// ShortDay formats a date for narrow columns.
func (g *Grammar) ShortDay(d domain.Date) string {
	year, month, day := d.Time().Date()
	return g.Number(day) + "\u00a0" + g.calendar.short[month-1] + "\u00a0" +
		g.Number(year, number.NoSeparator())
}

// Amount formats an amount of minor units with the decimals of its currency. The currency's code
// belongs next to it: a symbol may mean several currencies, and costs an SMS its cheap alphabet.
func (g *Grammar) Amount(amount int64, code string) string {
	scale := 2
	if unit, err := currency.ParseISO(code); err == nil {
		scale, _ = currency.Standard.Rounding(unit)
	}
	// Amounts are at most 10^12, so that every one of them is exact to its decimals as a float64.
	value := float64(amount) / math.Pow10(scale)
	return g.Number(value, number.Scale(scale))
}

var categories = map[plural.Form]string{
	plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few",
	plural.Many: "many", plural.Other: "other",
}

// category is the plural category of a number that is written with up to two decimals, and without
// zeros at its end.
func category(tag language.Tag, n float64) string {
	// Rules look at no more than the last six digits and at whether the number is larger than that.
	i := int(n)
	if i >= 10_000_000 {
		i = i%1_000_000 + 1_000_000
	}
	decimals, visible := int(math.Round(n*100))%100, 2
	switch {
	case decimals == 0:
		visible = 0
	case decimals%10 == 0:
		decimals, visible = decimals/10, 1
	}
	return categories[plural.Cardinal.MatchPlural(tag, i, visible, visible, decimals, decimals)]
}

// calendar holds the date formats of a language.
type calendar struct {
	day      string // format of day, month and year
	date     string // format of weekday and day
	months   [12]string
	short    [12]string // abbreviated months
	weekdays [7]string  // from Sunday
}

var calendars = map[string]calendar{
	"en": {
		"%s %s %s", "%s %s",
		[12]string{
			"January", "February", "March", "April", "May", "June", "July", "August",
			"September", "October", "November", "December",
		},
		[12]string{
			"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
			"Dec",
		},
		[7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
	},
	"es": {
		"%s de %s de %s", "%s %s",
		[12]string{
			"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto",
			"septiembre", "octubre", "noviembre", "diciembre",
		},
		[12]string{
			"ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sept", "oct", "nov",
			"dic",
		},
		[7]string{"domingo", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado"},
	},
	"fr": {
		"%s %s %s", "%s %s",
		[12]string{
			"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août",
			"septembre", "octobre", "novembre", "décembre",
		},
		[12]string{
			"janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.",
			"oct.", "nov.", "déc.",
		},
		[7]string{"dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"},
	},
	"pt": {
		"%s de %s de %s", "%s, %s",
		[12]string{
			"janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto",
			"setembro", "outubro", "novembro", "dezembro",
		},
		[12]string{
			"jan.", "fev.", "mar.", "abr.", "mai.", "jun.", "jul.", "ago.", "set.", "out.",
			"nov.", "dez.",
		},
		[7]string{
			"domingo", "segunda-feira", "terça-feira", "quarta-feira", "quinta-feira",
			"sexta-feira", "sábado",
		},
	},
	"ar": {
		"%s %s %s", "%s %s",
		[12]string{
			"يناير", "فبراير", "مارس", "أبريل", "مايو", "يونيو", "يوليو", "أغسطس", "سبتمبر",
			"أكتوبر", "نوفمبر", "ديسمبر",
		},
		[12]string{
			"يناير", "فبراير", "مارس", "أبريل", "مايو", "يونيو", "يوليو", "أغسطس", "سبتمبر",
			"أكتوبر", "نوفمبر", "ديسمبر",
		},
		[7]string{"الأحد", "الاثنين", "الثلاثاء", "الأربعاء", "الخميس", "الجمعة", "السبت"},
	},
}
