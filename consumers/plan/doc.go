// Package plan holds the rules that turn events into messages: for each kind of event the
// deliveries that follow from it, given the facts about the people and the school's settings. All
// rules are pure: they read facts and return deliveries, and the tests are tables of what is given,
// what happens, and what follows.
//
//	absence          an unexcused absence: a text to the primary guardian, at once
//	chronic_absence  more than one mark in ten is an absence: a notice to the primary guardian
//	                 and the class's staff, once a school year
//	invoice          a fee is charged: a notice to the primary guardian
//	fee_reminder     a fee is overdue: a notice, unless it has been paid by now
//	receipt          a payment has arrived: a receipt, and a notice with its link
//	statement        a fee statement is requested, or the first reminder of a month:
//	                 the statement, and a notice with its link
//	results          results are published: a report card for each student, and a notice with its link
//	announcement     an announcement: to its audience, through its channels; an urgent one by SMS too
//
// A school switches rules on or off and chooses their channels and ages in [consumers.Settings]. A
// person whom a channel cannot reach, for example without a phone number, is left out on it. What
// is not urgent waits for the end of the quiet hours.
//
// The first change: a new message is a rule here, a line in [Planners], and its templates in
// package wording.
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
