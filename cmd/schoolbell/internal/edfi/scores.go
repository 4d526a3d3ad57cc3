package edfi

import (
	"regexp"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
)

// numericGradeMax is the maximum of NumericGradeEarned where an entry names no points of its own.
// Grades above it are extra credit.
const numericGradeMax = 100 * domain.DecimalUnit

// published is the range of a published test.
type published struct {
	prefix  string // of the assessment's identifier
	method  string // the reporting method of the score to use
	subject string
	maximum int64
	scale   string // of scores that are no part of the maximum
}

// The scales of published tests. What they measure is no percentage of what could be scored, so their
// scores are shown and in no average; composites are derived from the others besides.
const (
	scaleACT        = "ACT"
	scaleComposite  = "ACT composite"
	scaleSAT        = "SAT"
	scalePercentile = "percentile"
)

// publishedMaxima lists the tests whose scale is published. Ed-Fi has maxima in the
// AssessmentMetadata interchange, which an export of results need not contain. The first line that
// fits is used.
//
//   - ACT: composite and sections are on a scale of 1 to 36, writing of 2 to 12 (ACT,
//     "Understanding your scores").
//   - SAT: the "Raw score" of a section in exports is its scaled score of 200 to 800; the essay's
//     writing dimension is scored by two readers from 1 to 4 each, 2 to 8 together (College Board,
//     since March 2016).
//   - State assessment of 2011: the Texas Assessment of Knowledge and Skills. The raw score is the
//     number of questions answered correctly; how many there were is in the blueprints of the Texas
//     Education Agency.
var publishedMaxima = []published{
	{"ACT Composite", "Composite Score", "Composite", 36, scaleComposite},
	{"ACT Writing", "Scale score", "Writing", 12, scaleACT},
	{"ACT English", "Scale score", "English", 36, scaleACT},
	{"ACT Mathematics", "Scale score", "Mathematics", 36, scaleACT},
	{"ACT Reading", "Scale score", "Reading", 36, scaleACT},
	{"ACT Science", "Scale score", "Science", 36, scaleACT},
	{"SAT Critical Reading", "Raw score", "Critical Reading", 800, scaleSAT},
	{"SAT Mathematics", "Raw score", "Mathematics", 800, scaleSAT},
	{"SAT Writing", "Raw score", "Writing", 8, scaleSAT},
	{"SA-2011-Mathematics-Third grade", "Raw score", "Mathematics", 40, ""},
	{"SA-2011-Mathematics-Fourth grade", "Raw score", "Mathematics", 42, ""},
	{"SA-2011-Mathematics-Fifth grade", "Raw score", "Mathematics", 44, ""},
	{"SA-2011-Mathematics-Sixth grade", "Raw score", "Mathematics", 46, ""},
	{"SA-2011-Mathematics-Seventh grade", "Raw score", "Mathematics", 48, ""},
	{"SA-2011-Mathematics-Eighth grade", "Raw score", "Mathematics", 50, ""},
	{"SA-2011-Reading-Third grade", "Raw score", "Reading", 36, ""},
	{"SA-2011-Reading-Fourth grade", "Raw score", "Reading", 40, ""},
	{"SA-2011-Reading-Fifth grade", "Raw score", "Reading", 42, ""},
	{"SA-2011-Reading-Sixth grade", "Raw score", "Reading", 42, ""},
	{"SA-2011-Reading-Seventh grade", "Raw score", "Reading", 48, ""},
	{"SA-2011-Reading-Eighth grade", "Raw score", "Reading", 48, ""},
}

// result is the score of an assessment with its range.
type result struct {
	subject, scale  string
	score, maxScore domain.Decimal
}

// bestResult chooses the result of an assessment whose maximum is known: a published scale first,
// else a percentage or percentile, which are out of 100 by nature. why explains why there is none.
func bestResult(e *element, assessment string) (r result, why string) {
	for _, p := range publishedMaxima {
		if !strings.HasPrefix(assessment, p.prefix) {
			continue
		}
		maximum := domain.Decimal(p.maximum) * domain.DecimalUnit
		for found := range e.all("ScoreResult") {
			score, ok := number(found.str("Result"))
			if ok && found.code("AssessmentReportingMethod") == p.method && score <= maximum {
				return result{p.subject, p.scale, score, maximum}, ""
			}
		}
	}
	some := false
	for found := range e.all("ScoreResult") {
		some = true
		const whole = 100 * domain.DecimalUnit
		score, ok := number(found.str("Result"))
		method := found.code("AssessmentReportingMethod")
		if !ok || score > whole || !strings.Contains(method, "Percent") {
			continue
		}
		r = result{subject: assessment, score: score, maxScore: whole}
		if strings.Contains(method, "Percentile") {
			r.scale = scalePercentile
		}
		return r, ""
	}
	switch {
	case some:
		return result{}, "no result whose maximum is known"
	case e.str("ReasonNotTested") != "":
		return result{}, "not tested: " + strings.ToLower(e.code("ReasonNotTested"))
	default:
		return result{}, "no result"
	}
}

var decimal = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// number parses a decimal number that is not negative, to four digits after the point.
func number(s string) (domain.Decimal, bool) {
	if !decimal.MatchString(s) {
		return 0, false
	}
	n, _, ok := domain.ParseDecimal([]byte(s))
	return n, ok && n < domain.MaxScore*domain.DecimalUnit
}
