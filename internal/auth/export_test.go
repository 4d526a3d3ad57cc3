package auth

// StayOnTLS is how redirects to keys are followed.
var StayOnTLS = stayOnTLS
