package edfi

import (
	"math"
	"strconv"
	"strings"
)

// numericGradeMax is the maximum of NumericGradeEarned where an entry names no points of its own.
// Grades above it are extra credit.
const numericGradeMax = 100

// scale is the range of a published test.
type scale struct {
	prefix  string // of the assessment's identifier
	method  string // the reporting method of the score to use
	subject string
	maximum float64
}

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
var publishedMaxima = []scale{
	{"ACT Composite", "Composite Score", "Composite", 36},
	{"ACT Writing", "Scale score", "Writing", 12},
	{"ACT English", "Scale score", "English", 36},
	{"ACT Mathematics", "Scale score", "Mathematics", 36},
	{"ACT Reading", "Scale score", "Reading", 36},
	{"ACT Science", "Scale score", "Science", 36},
	{"SAT Critical Reading", "Raw score", "Critical Reading", 800},
	{"SAT Mathematics", "Raw score", "Mathematics", 800},
	{"SAT Writing", "Raw score", "Writing", 8},
	{"SA-2011-Mathematics-Third grade", "Raw score", "Mathematics", 40},
	{"SA-2011-Mathematics-Fourth grade", "Raw score", "Mathematics", 42},
	{"SA-2011-Mathematics-Fifth grade", "Raw score", "Mathematics", 44},
	{"SA-2011-Mathematics-Sixth grade", "Raw score", "Mathematics", 46},
	{"SA-2011-Mathematics-Seventh grade", "Raw score", "Mathematics", 48},
	{"SA-2011-Mathematics-Eighth grade", "Raw score", "Mathematics", 50},
	{"SA-2011-Reading-Third grade", "Raw score", "Reading", 36},
	{"SA-2011-Reading-Fourth grade", "Raw score", "Reading", 40},
	{"SA-2011-Reading-Fifth grade", "Raw score", "Reading", 42},
	{"SA-2011-Reading-Sixth grade", "Raw score", "Reading", 42},
	{"SA-2011-Reading-Seventh grade", "Raw score", "Reading", 48},
	{"SA-2011-Reading-Eighth grade", "Raw score", "Reading", 48},
}

// result is the score of an assessment with its range.
type result struct {
	subject         string
	score, maxScore float64
}

// bestResult chooses the result of an assessment whose maximum is known: a published scale first,
// else a percentage or percentile, which are out of 100 by nature. why explains why there is none.
func bestResult(e *element, assessment string) (r result, why string) {
	for _, s := range publishedMaxima {
		if !strings.HasPrefix(assessment, s.prefix) {
			continue
		}
		for found := range e.all("ScoreResult") {
			score, ok := number(found.str("Result"))
			if ok && found.code("AssessmentReportingMethod") == s.method && score <= s.maximum {
				return result{subject: s.subject, score: score, maxScore: s.maximum}, ""
			}
		}
	}
	some := false
	for found := range e.all("ScoreResult") {
		some = true
		score, ok := number(found.str("Result"))
		if method := found.code("AssessmentReportingMethod"); ok &&
			strings.Contains(method, "Percent") && score <= 100 {
			return result{subject: assessment, score: score, maxScore: 100}, ""
		}
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

// number parses a decimal number that is not negative.
func number(s string) (float64, bool) {
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && n >= 0 && !math.IsInf(n, 0)
}
