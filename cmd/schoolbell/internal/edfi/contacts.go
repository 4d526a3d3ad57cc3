package edfi

// phoneOrder is the order in which a contact's numbers are preferred: first those that can receive
// a text. A fax receives neither a text nor a call.
var phoneOrder = []string{
	"Mobile", "Home", "Emergency 1", "Emergency 2", "Other", "Work",
	"Unlisted",
}

// bestPhone chooses the number at which to reach a contact. why explains why there is none.
func bestPhone(e *element) (phone string, changed bool, why string) {
	best := len(phoneOrder) + 1
	for t := range e.all("Telephone") {
		kind := t.code("TelephoneNumberType")
		if kind == "Fax" {
			why = "the only number is a fax and was left out"
			continue
		}
		rank := len(phoneOrder)
		for i, k := range phoneOrder {
			if k == kind {
				rank = i
			}
		}
		if rank >= best {
			continue
		}
		number, rewritten := repairPhone(t.str("TelephoneNumber"))
		if number == "" {
			why = "phone number cannot be dialled and was left out"
			continue
		}
		best, phone, changed = rank, number, rewritten
	}
	if phone != "" {
		why = ""
	}
	return phone, changed, why
}

// bestEmail chooses an address, preferably of a kind. why explains why there is none.
func bestEmail(e *element, preferred string) (email, why string) {
	for m := range e.all("ElectronicMail") {
		address, _ := repairEmail(m.str("ElectronicMailAddress"))
		switch {
		case address == "":
			why = "e-mail address is invalid and was left out"
		case email == "" || m.code("ElectronicMailType") == preferred:
			email = address
		}
	}
	if email != "" {
		why = ""
	}
	return email, why
}

// The kinds of addresses that contacts and staff are reached at.
const (
	personalEmail = "Home/Personal"
	workEmail     = "Work"
)
