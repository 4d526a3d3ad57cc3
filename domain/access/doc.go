// Package access is the one rule of who may see what of a school's students. [For] makes a [Scope]
// of a token, of what the directory says about its bearer on a day, and of what the school has
// decided. Everything that shows students stands on it: queries over HTTP and over live
// connections, rooms, inboxes, documents and the links to them.
//
// A scope says which fields are visible of which students: of all at the school, of the pupils of
// one's classes, and of one's own. Where it is applied, the [Fields] are the vocabulary: a query
// selects with [Scope.Among] in its statement, and shows of each student what [Scope.Of] says.
//
// A new role begins in For; a new kind of data about students is a bit of [Fields].
package access
