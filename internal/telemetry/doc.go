// Package telemetry makes Schoolbell observable: logs ([NewLogger]), metrics ([NewRegistry]),
// traces ([StartTracing]), and the operations port that serves health, metrics and profiles
// ([Handler]).
//
// The program makes one logger, one registry and one tracer provider here and passes them down; no
// package has a global one. Metrics live next to what they measure: to add one, see the metrics.go
// of its package. A loop that can fail logs every failure: the root logger limits repeats
// (repeat.go).
package telemetry
