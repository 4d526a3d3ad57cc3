package httpapi

// Waiting returns how many partitions have readers that wait.
func (p *Positions) Waiting() int { return len(p.partitions()) }
