// Package telemetry is how Schoolbell shows its own state: logs ([NewLogger]), metrics ([NewRegistry]), traces
// ([StartTracing]), and the operations port that serves health, metrics and profiles ([Handler]).
//
// Metrics live beside what they measure; this package only makes the registry that they are registered with. To add
// one, see the metrics.go of the package in question.
package telemetry
