// Package wstest has the cases of RFC 6455 that every WebSocket server of Schoolbell must answer
// rightly, written as raw frames: reserved bits, opcodes, fragments, control frames, masks, UTF-8,
// close codes, sizes.
//
//	wstest.Run(t, wstest.Server{URL: "ws://…", Greetings: 1, Message: "4grüße", Reply: "4grüße", MaxMessage: 65536})
package wstest
