// Package pdf makes the documents that deliveries ask for: report cards, receipts and fee statements.
//
// A document is a function of the facts that its planner has put into the delivery (package paper), of the delivery's
// language and of the school's logo: made again, it has the same bytes and so the same place in the store. There is no
// clock in it and nothing random.
//
// Package page writes PDF and shapes text; [Renderer] lays documents out; [Provider] is what the job queue calls.
//
// The first change: what a document says is in words.go for each language; how it looks is in its own file, and
// `make golden` writes what it looks like to testdata.
package pdf
