// Package redis keeps answers, and knows which of them still hold. It is the only package that speaks to Redis.
//
// # What is kept
//
// For each partition p of the log, under one hash tag, so that a cluster keeps it in one place:
//
//	sb:{p}:head                        epoch, base, position: how far the tables have come, as far as Redis was told
//	sb:{p}:v:<school>                  by projection: the offset of the event that changed it last
//	sb:{p}:e:<school>:<query>:<input>  an answer, and the position of the snapshot it was made from
//
// Besides: sb:revoked, the tokens that are refused ([Revocations]); sb:ticket:<ticket>, for seconds ([Tickets]); and the
// channels on which nodes speak ([Bus]).
//
// The projector moves heads and versions after each commit ([Notifier]). A version or a head never expires by itself.
//
// # When an answer holds
//
// An answer holds when the head exists, the versions of all projections that it came from exist, and its position is not
// below any of them nor below base. It is then good as of the head's position. So a slow writer cannot put an old answer
// back, and whatever goes missing here, be it a key, a notice or everything, only makes answers be asked for again:
//
//   - a flushed head is made anew by the next notice or heartbeat, with base at its position;
//   - a notice lost in a crash is made good by the next owner's claim, which raises the epoch and base;
//   - a notice that failed is made good by the next one, which raises base.
//
// # When Redis is not there
//
// Every call has a short time limit, and after a few failures a breaker stops calling for a while. Then answers come from
// the database.
package redis
