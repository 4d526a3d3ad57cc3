// Package auth answers two questions, each in one place: whose token is this ([Verifier.Verify]), and may its bearer do
// that at this school ([Authorize]). What neither answers with yes is refused.
//
// Tokens are JSON Web Tokens. In development they are signed with a shared secret (HS256, see [Mint]); in production
// by an identity provider whose public keys are fetched, and fetched anew when it rotates them.
package auth
