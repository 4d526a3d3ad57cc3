// Package plan holds the rules of what is said to whom: for each kind of event the deliveries that follow from it, given
// what is known about the people and what the school has decided. All of it is pure; the tests are tables of what is
// given, what happens, and what follows.
//
//	absence          an unexcused absence: a text to the primary guardian, at once
//	chronic_absence  more than one mark in ten is an absence: a notice to the primary guardian and the class's staff, once a school year
//	invoice          a fee is charged: a notice to the primary guardian
//	fee_reminder     a fee is overdue: the same, unless it has been paid by now
//	receipt          a payment has come in: a receipt, and a notice that links it
//	statement        a statement of fees is wanted, or the first reminder of a month: the statement, and a notice that links it
//	results          results are published: a report card for each student, and a notice that links it
//	announcement     a notice of the school: to its audience, through its channels; an urgent one by SMS too
//
// A school switches rules off, or on, and chooses their channels and ages in [consumers.Settings]. Whom a channel does not
// reach, as somebody without a telephone, it leaves out. What is not urgent waits for the end of the quiet hours.
//
// The first change: a new message is a rule here, a line in [Planners], and its wording in package wording.
package plan

import "github.com/schoolbell/schoolbell/consumers"

// Planners returns all rules.
func Planners() []consumers.Planner {
	return []consumers.Planner{
		absence.planner(), chronicAbsence.planner(),
		invoice.planner(), feeReminder.planner(), receipt.planner(), statement.planner(),
		results.planner(),
		announced.planner(),
	}
}
