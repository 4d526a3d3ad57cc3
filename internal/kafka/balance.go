package kafka

import (
	"cmp"
	"slices"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
)

// balancer assigns the partitions evenly, and leaves them where they were as far as it can: a
// process that retains a partition still has its window of duplicates and its hot rows.
//
// It takes the number of partitions from the configuration, where it is fixed. kafka-go requests it
// from the broker each time, and one that has just started may not have the topic yet: then
// kafka-go's own balancers assign nothing, and nothing happens until a member joins or leaves.
type balancer struct {
	topic      string
	partitions int

	mu       sync.Mutex
	previous []byte // the partitions of this member in the last generation, two bytes each
}

// ProtocolName has the topic in it, so that Kafka rejects a member that names the group but reads
// another topic.
func (b *balancer) ProtocolName() string { return "schoolbell/" + b.topic }

// remember stores this member's assignment for the next rebalance.
func (b *balancer) remember(partitions []kafkago.PartitionAssignment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := encoder(nil)
	for _, p := range partitions {
		e.int16(int16(p.ID))
	}
	b.previous = e
}

// UserData tells the group's leader which partitions this member has.
func (b *balancer) UserData() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.previous, nil
}

// AssignGroups assigns the partitions.
func (b *balancer) AssignGroups(
	members []kafkago.GroupMember, _ []kafkago.Partition,
) kafkago.GroupMemberAssignments {
	// Members with the most partitions come first, and get the ones that remain when all have the
	// same number.
	members = slices.Clone(members)
	slices.SortFunc(members, func(x, y kafkago.GroupMember) int {
		return cmp.Or(cmp.Compare(len(y.UserData), len(x.UserData)), cmp.Compare(x.ID, y.ID))
	})
	free := make([]bool, b.partitions)
	for p := range free {
		free[p] = true
	}
	shares := make([][]int, len(members))
	quota := func(i int) int {
		if i < b.partitions%len(members) {
			return b.partitions/len(members) + 1
		}
		return b.partitions / len(members)
	}
	for i, m := range members {
		for d := (decoder{b: m.UserData}); len(d.b) > 0 && len(shares[i]) < quota(i); {
			if p := int(d.int16()); p >= 0 && p < b.partitions && free[p] && !d.bad {
				free[p] = false
				shares[i] = append(shares[i], p)
			}
		}
	}
	i := 0
	for p := range free {
		if !free[p] {
			continue
		}
		for len(shares[i]) >= quota(i) {
			i++
		}
		shares[i] = append(shares[i], p)
	}
	assignments := kafkago.GroupMemberAssignments{}
	for i, m := range members {
		assignments[m.ID] = map[string][]int{b.topic: shares[i]}
	}
	return assignments
}
