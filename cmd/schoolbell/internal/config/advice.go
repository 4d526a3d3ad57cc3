package config

// Advice returns what should be changed in settings that work, but not as expected.
func (c *Config) Advice() []string {
	var advice []string
	if c.Has(RoleRealtime) && c.JWT.JWKS != "" && c.Realtime.Key == "" {
		advice = append(advice, "live clients can resume only on the process they were connected to, "+
			"and not after it restarts: set SCHOOLBELL_REALTIME_KEY to the same secret in all processes")
	}
	// Large providers sign for all of their customers with the same keys.
	if c.JWT.JWKS != "" && c.JWT.Issuer == "" {
		advice = append(advice, "tokens of any issuer are accepted that are signed with a key of the "+
			"key set, which other customers of the identity provider may share: set "+
			"SCHOOLBELL_JWT_ISSUER")
	}
	return advice
}
