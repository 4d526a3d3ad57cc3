package consumers

// LedgerPartition is what a ledger has stored about one partition of the log. Package verify
// compares it with the plans that follow from the log.
type LedgerPartition struct {
	PlannedTo   int64               // the offset up to which the partition has been planned
	FactsAt     map[int64]int64     // by offset: how far the facts reached, if beyond the event
	Deliveries  map[string]Delivery // by id
	DeadLetters map[int64]bool      // offsets of events that could not be planned

	States  map[string]State // of the deliveries, by id
	Pending map[string]bool  // ids of those that the log does not list yet
	Past    map[string]bool  // ids of a lost ledger whose events have not been planned again
	Seen    int64            // what the log says of deliveries below this offset is in the ledger
	PastTo  int64            // events below this offset were planned by a ledger that was lost
}
