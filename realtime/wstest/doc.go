// Package wstest has conformance cases of RFC 6455 for every WebSocket server of Schoolbell, as raw
// frames: reserved bits, opcodes, fragments, control frames, masks, UTF-8, close codes, sizes.
// [Run] runs them all; a new case is a line in cases.go.
//
//	wstest.Run(t, wstest.Server{
//		URL: "ws://…", Greetings: 1, Message: "4grüße", Reply: "4grüße", MaxMessage: 65536,
//	})
package wstest
