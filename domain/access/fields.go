package access

// Fields are parts of what is stored about a student. Each is visible as a whole or not at all.
type Fields uint16

// The fields.
const (
	Names       Fields = 1 << iota // names, classes, status and days at school; names of guardians
	Personal                       // birth date, photo, e-mail address
	Identifiers                    // what other systems call the student
	Contacts                       // how guardians can be reached, and in which language
	Siblings                       // students who share a guardian
	Attendance                     // which marks of attendance there are
	Reasons                        // why a student was absent or has left
	Marks                          // scores, averages and ranks of published results
	Drafts                         // those that are not published yet, and remarks
	Fees                           // what is charged and paid
	everything  = 1<<iota - 1
)

var fieldNames = [...]string{
	"names", "personal", "identifiers", "contacts", "siblings", "attendance", "reasons", "marks",
	"drafts", "fees",
}

// Has reports that all of these are among the fields.
func (f Fields) Has(all Fields) bool { return f&all == all }

// Names returns the fields as words, for documentation and tests.
func (f Fields) Names() []string {
	names := []string{}
	for i, name := range fieldNames {
		if f.Has(1 << i) {
			names = append(names, name)
		}
	}
	return names
}

// What each role sees of the students that it sees.
const (
	ofOffice     = everything &^ (Marks | Drafts)
	ofTeacher    = Names | Personal | Contacts | Siblings | Attendance | Marks | Drafts
	ofAccountant = Names | Fees
	ofAnalyst    = Attendance | Marks | Fees // numbers: without Names no student is shown
	ofFamily     = Names | Personal | Identifiers | Attendance | Reasons | Marks | Fees
)
