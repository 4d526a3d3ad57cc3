// Package pdf renders the documents that deliveries request: report cards, receipts and fee
// statements.
//
// A document is a pure function of the data that its planner put into the delivery (package paper),
// the delivery's language and the school's logo. There is no clock and nothing random in it, so
// rendering it again gives the same bytes and therefore the same hash in the store: a retry cannot
// leave two versions.
//
// Package page writes PDF and shapes text; [Renderer] lays documents out from top to
// bottom; [Provider] is called by the job queue.
//
// The first change: the words of a document are in the language files of package wording; its
// layout is in the file named after it, and `make golden` writes the text of each sample document
// to testdata.
package pdf
