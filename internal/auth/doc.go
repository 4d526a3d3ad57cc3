// Package auth decides two things, each in one place: whose token this is ([Verifier.Verify]), and
// whether its bearer may do something at a school ([Authorize]). Everything that is not allowed is
// refused.
//
// Tokens are JSON Web Tokens. In development they are signed with a shared secret (HS256, see
// [Mint]); in production by an identity provider whose public keys are fetched, and fetched again
// when it rotates them.
//
// A new role or scope begins in Authorize; what a route needs is declared with the route, as a
// [Need].
package auth
