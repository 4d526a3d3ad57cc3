package edfi

// phoneOrder is the order in which a contact's numbers are preferred: first those that take a text message. A fax
// takes neither a message nor a call.
var phoneOrder = []string{"Mobile", "Home", "Emergency 1", "Emergency 2", "Other", "Work", "Unlisted"}

// bestPhone picks the number to reach a contact on. why says what became of numbers that could not be used.
func bestPhone(e *element) (phone string, changed bool, why string) {
	best := len(phoneOrder) + 1
	for t := range e.all("Telephone") {
		kind := t.code("TelephoneNumberType")
		if kind == "Fax" {
			why = "the only number is a fax, and left out"
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
			why = "telephone number cannot be dialled, and left out"
			continue
		}
		best, phone, changed = rank, number, rewritten
	}
	if phone != "" {
		why = ""
	}
	return phone, changed, why
}

// bestEmail picks an address, a personal one if there is one.
func bestEmail(e *element) (email, why string) {
	for m := range e.all("ElectronicMail") {
		address, _ := repairEmail(m.str("ElectronicMailAddress"))
		switch {
		case address == "":
			why = "e-mail address is not one, and left out"
		case email == "" || m.code("ElectronicMailType") == "Home/Personal":
			email = address
		}
	}
	if email != "" {
		why = ""
	}
	return email, why
}
