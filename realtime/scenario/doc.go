// Package scenario holds the test that drives all realtime protocols at once, with their official
// clients, over nodes that are killed, and compares what each client received with the log.
package scenario
