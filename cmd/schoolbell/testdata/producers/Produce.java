import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** What kafka-clients can do to an inbox. Prints "school id" of each event that must count. */
public class Produce {
  static final List<String> SCHOOLS = List.of("kn", "kjs", "kw", "ktx");

  static KafkaProducer<String, String> producer(String... more) {
    Properties config = new Properties();
    config.put("bootstrap.servers", System.getenv("BROKERS"));
    for (int i = 0; i < more.length; i += 2) {
      config.put(more[i], more[i + 1]);
    }
    return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
  }

  static ProducerRecord<String, String> mark(String school, String id) {
    var record = new ProducerRecord<>("schoolbell.inbox", school, "{\"student_id\":\"" + id
        + "\",\"class_id\":\"7a\",\"date\":\"2026-09-08\",\"session\":\"day\",\"status\":\"present\"}");
    String[][] headers = {{"ce_specversion", "1.0"}, {"ce_id", id}, {"ce_source", "/sis/java"},
        {"ce_type", "schoolbell.attendance.marked.v1"}};
    for (String[] h : headers) {
      record.headers().add(h[0], h[1].getBytes(StandardCharsets.UTF_8));
    }
    return record;
  }

  public static void main(String[] args) throws Exception {
    for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
      for (String partitioner : List.of("", "org.apache.kafka.clients.producer.RoundRobinPartitioner")) {
        try (var p = partitioner.isEmpty() ? producer("compression.type", codec)
            : producer("compression.type", codec, "partitioner.class", partitioner)) {
          for (String school : SCHOOLS) {
            String id = "java-" + codec + (partitioner.isEmpty() ? "" : "-round");
            p.send(mark(school, id)).get();
            System.out.println(school + " " + id);
          }
          p.send(new ProducerRecord<>("schoolbell.inbox", "kw", null)).get(); // a tombstone
        }
      }
    }
    var p = producer("transactional.id", "java", "transaction.timeout.ms", "5000");
    p.initTransactions();
    p.beginTransaction();
    p.send(mark("kw", "java-aborted"));
    p.flush();
    p.abortTransaction();
    p.beginTransaction();
    for (String school : SCHOOLS) {
      p.send(mark(school, "java-committed"));
    }
    p.commitTransaction();
    for (String school : SCHOOLS) {
      System.out.println(school + " java-committed");
    }
    p.beginTransaction();
    p.send(mark("kw", "java-open")).get();
    try (var behind = producer()) { // until Kafka aborts the open one
      behind.send(mark("kw", "java-behind")).get();
      System.out.println("kw java-behind");
    }
    System.out.flush();
    Runtime.getRuntime().halt(0); // without an end of the transaction
  }
}
