import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Print every login event as it comes: java LoginSubscriber SERVERS GROUP TOPIC AVSC_FILE [OLDER_AVSC_FILE...] */
public class LoginSubscriber {
    public static void main(String[] args) throws Exception {
        var decoder = new BinaryMessageDecoder<GenericRecord>(GenericData.get(), schema(args[3]));
        for (int i = 4; i < args.length; i++) decoder.addSchema(schema(args[i])); // versions that are still on the topic
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", args[0], "group.id", args[1], "auto.offset.reset", "earliest");
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<byte[], byte[]>(settings, bytes, bytes)) {
            consumer.subscribe(List.of(args[2]));
            while (true) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    try {
                        var event = decoder.decode(ByteBuffer.wrap(record.value())); // event.get("user"), ...
                        System.out.printf("%d %d %s%n", record.partition(), record.offset(), event);
                    } catch (Exception notAnEvent) { // report it, read on
                        System.out.printf("%d %d undecodable: %s%n", record.partition(), record.offset(), notAnEvent);
                    }
                }
            }
        }
    }

    private static Schema schema(String file) throws Exception {
        return new Schema.Parser().parse(Path.of(file).toFile());
    }
}
