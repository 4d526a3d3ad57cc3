package engineio

// Polls reports whether a request waits for the packets of a session.
func (s *Server) Polls(id string) bool {
	s.mu.Lock()
	session := s.sessions[id]
	s.mu.Unlock()
	if session == nil {
		return false
	}
	session.mu.Lock()
	defer session.mu.Unlock()
	return session.poll != nil && !session.pumping
}
