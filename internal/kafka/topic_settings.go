package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// topicSettings are those of the topic that the log depends on.
var topicSettings = []string{
	"cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes",
	"min.insync.replicas", "unclean.leader.election.enable", "message.timestamp.type",
}

// topicFault is a setting of the topic by which the log may lose records or promises, with what an
// operator can do about it.
type topicFault struct {
	setting string
	error
}

// weaknesses are settings with which the log works, but holds less than it promises when brokers
// fail. They are no reason to refuse the topic, as a single broker for development has no others.
func weaknesses(m *metadata, settings map[string]string) (faults []topicFault) {
	fault := func(setting, format string, args ...any) {
		faults = append(faults, topicFault{setting, fmt.Errorf(format, args...)})
	}
	inSync, err := strconv.Atoi(settings["min.insync.replicas"])
	switch known := err == nil; {
	case m.replicas < 2 && len(m.brokers) >= 3:
		fault("replicas", "the topic has one replica on a cluster of %d brokers: events are lost "+
			"with the broker that has them. Add replicas (kafka-reassign-partitions)",
			len(m.brokers))
	case known && m.replicas >= 2 && inSync < 2:
		fault("min.insync.replicas", "the topic's min.insync.replicas is %d, so an accepted "+
			"event may be on one broker only: set it to 2", inSync)
	case known && inSync > m.replicas:
		fault("min.insync.replicas", "the topic's min.insync.replicas is %d, but it has %d "+
			"replicas, so no event is accepted: set it lower, or add replicas", inSync, m.replicas)
	}
	if settings["unclean.leader.election.enable"] == "true" {
		fault("unclean.leader.election.enable", "the topic's unclean.leader.election.enable is "+
			"true, so accepted events may be lost when brokers fail: set it to false")
	}
	if t := settings["message.timestamp.type"]; t != "" && t != "LogAppendTime" {
		fault("message.timestamp.type", "the topic's message.timestamp.type is %s, so the times "+
			"of appending, by which rebuild --until goes, are those of the producers' clocks: "+
			"set it to LogAppendTime", t)
	}
	return faults
}

// topicWatch holds what the last look at the topic's settings has found.
type topicWatch struct {
	gauge *prometheus.GaugeVec

	mu     sync.Mutex
	faults []topicFault
}

func newTopicWatch(reg prometheus.Registerer) *topicWatch {
	return &topicWatch{gauge: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: "schoolbell_log_topic_faults",
		Help: "1 for each setting of the topic by which the log may lose events.",
	}, []string{"setting"})}
}

func (w *topicWatch) set(faults []topicFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = faults
	for _, setting := range append([]string{"partitions", "replicas"}, topicSettings...) {
		w.gauge.WithLabelValues(setting).Set(0)
	}
	for _, f := range faults {
		w.gauge.WithLabelValues(f.setting).Set(1)
	}
}

// TopicProblems returns what is wrong with the topic's settings, as of the last look at them.
func (l *Log) TopicProblems() error {
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	var all []error
	for _, f := range l.topic.faults {
		all = append(all, f.error)
	}
	return errors.Join(all...)
}

// WatchTopic looks at the topic's settings every few minutes until ctx ends, as they can be changed
// while the log is in use. A fault does not stop the log: what it may cost has happened by then, or
// can still be prevented by an operator.
func (l *Log) WatchTopic(ctx context.Context) error {
	tick := time.NewTicker(l.config.TopicInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := l.lookAtTopic(ctx); err != nil && ctx.Err() == nil {
			l.logger.WarnContext(ctx, "cannot check the topic's settings", "error", err)
		}
	}
}

func (l *Log) lookAtTopic(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.config.RequestTimeout)
	defer cancel()
	m, err := l.cluster.fetchMetadata(ctx)
	if err == nil {
		err = m.fault
	}
	if err != nil {
		return err
	}
	settings, err := l.settings(ctx, m)
	if err != nil {
		return fmt.Errorf("read the topic's settings: %w", err)
	}
	l.reportTopic(ctx, append(l.unfit(m, settings), weaknesses(m, settings)...))
	return nil
}

func (l *Log) reportTopic(ctx context.Context, faults []topicFault) {
	l.topic.set(faults)
	for _, f := range faults {
		l.logger.WarnContext(ctx, "the topic does not protect the log",
			slog.String("topic", l.config.Topic), slog.Any("error", f.error))
	}
}
