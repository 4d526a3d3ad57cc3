// Package marks is the arithmetic of scores: what counts of a student's attempts at an assessment, the
// averages of any selection of scores, who shares a rank, what is a pass, and how all of it is rounded.
// Screens, report cards and rankings show the same numbers because all of them come from here.
//
// Nothing is rounded before it is shown. A [Value] is a score and its maximum as integers; a [Sum] adds
// values up by their maximum, so that it stays small and loses nothing; an [Average] knows its first
// twelve digits, which decide nearly every comparison, and works the exact fraction out when they do
// not. What a school decides about its marks is [Rules].
//
// The first change for another way to average is a constant of [Method], with what it adds up in
// [Sum.fraction].
package marks
