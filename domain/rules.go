package domain

// Rule is what validation demands of one field, in a form that schemas and test data are made from.
// Several rules for a field hold together.
type Rule struct {
	MinLength, MaxLength int // of a text; 0 is no limit. The longest are counted in bytes.
	Format               Format
	Enum                 []string
	MaxItems             int
	Min, Max             int64 // of a number, when Max is not 0
	Above, Below         bool  // a number must be greater than Min, less than Max, and equal to neither
	Key                  bool  // an id that names the fact itself, see [Faults.Key]
	// Combined says that validation also compares the field with others, which no rule can express:
	// a value that follows all rules may still be refused.
	Combined bool
}

// Format is the form of a text.
type Format string

// The forms. All but FormatText, FormatName and FormatSHA256 also take an empty text for none.
const (
	FormatID       Format = "id"
	FormatText     Format = "text" // more than white space
	FormatName     Format = "name" // a line that is more than white space
	FormatLine     Format = "line" // without control characters
	FormatCurrency Format = "currency"
	FormatURL      Format = "url"
	FormatPhone    Format = "phone"
	FormatEmail    Format = "email"
	FormatLanguage Format = "language"
	FormatSHA256   Format = "sha256"
)

// RulesOf returns the rules that an event's Validate applies, by the field's pointer. It learns
// them from a run of Validate, so that a schema cannot disagree with the code; entries of lists are
// seen only where the event has them.
func RulesOf(e Event) map[string][]Rule {
	rules := map[string][]Rule{}
	e.Validate(&Faults{rules: func(pointer string,
		r Rule,
	) {
		rules[pointer] = append(rules[pointer], r)
	}})
	return rules
}
