package devstack

// How clients sign in to a [Kafka] that has a password.
const (
	KafkaMechanism = "SCRAM-SHA-256"
	KafkaUser      = "schoolbell"
)
