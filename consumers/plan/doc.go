// Package plan holds the rules that turn events into messages: for each kind of event the
// deliveries that follow from it, given the facts about the people and the school's settings. All
// rules are pure: they read facts and return deliveries, and the tests are tables of what is given,
// what happens, and what follows.
//
//	absence            an unexcused absence: a text to the primary guardian, at once, once a day
//	absence_corrected  there was none: the same to those who were told, by the same channel
//	chronic_absence    more than one mark in ten is an absence: a notice to the primary guardian
//	                   and the class's staff, once a school year
//	invoice            a fee is charged: a notice to the primary guardian
//	fee_reminder       a fee is overdue: a notice, unless it has been paid by now
//	receipt            a payment has arrived: a receipt, and a notice with its link
//	reversal           the payment is taken back: a notice to those who got the receipt
//	statement          a fee statement is requested, or the first reminder of a month:
//	                   the statement, and a notice with its link
//	results            results are published: a report card for each student, and a notice with its
//	                   link
//	results_corrected  a mark has been changed since: a notice to those who got the report card
//	announcement       an announcement: to its audience, through its channels; an urgent one by SMS too
//
// Time passes between the plan and the message, so each rule has a second half: still says, with the
// facts of then, why a delivery is not true any more, or brings it up to date.
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
		absence.planner(), absenceCorrected.planner(), chronicAbsence.planner(),
		invoice.planner(), feeReminder.planner(), receipt.planner(), reversal.planner(),
		statement.planner(),
		results.planner(), resultsCorrected.planner(),
		announced.planner(),
	}
}
