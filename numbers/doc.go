// Package numbers calculates what responses say a second time: from a list of a school's events, by
// the definitions in docs/NUMBERS.md, plainly and exactly. It shares nothing with the folds or with the
// statements of queries, so that a fault of one is not a fault of the other. It is slow, and all of a
// school's events have to fit into memory.
//
// A result has the shape of the response's JSON. Its leaves are texts and [Number], and each number
// says which events it is made of and what each of them added. [Compare] holds a response against it,
// leaf by leaf; tests do, and `schoolbell verify --numbers`. [At] finds one number, to explain it.
//
// The first change for another response is a function like [Fees] and a line in results.
package numbers
