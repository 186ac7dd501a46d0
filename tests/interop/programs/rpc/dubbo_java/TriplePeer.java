// Triple: `server PORT`, or `client PORT...`, which prints a line of JSON for each case and port.
package plait.interop;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.protobuf.StringValue;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.dubbo.common.stream.StreamObserver;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;

public class TriplePeer {
    private static final String LARGE = "x".repeat(300_000);

    public static void main(String[] arguments) throws Exception {
        ApplicationConfig application = new ApplicationConfig("triple-" + arguments[0]);
        application.setQosEnable(false);
        DubboBootstrap bootstrap = DubboBootstrap.getInstance().application(application).registry(new RegistryConfig("N/A"));
        if (arguments[0].equals("server")) {
            ProtocolConfig protocol = new ProtocolConfig("tri", Integer.parseInt(arguments[1]));
            protocol.setHost("loopback");
            bootstrap.protocol(protocol).service(service("", "")).service(service("2.0", "blue")).start();
            Lines.say("ready");
            bootstrap.await();
        }
        bootstrap.start();
        for (int number = 1; number < arguments.length; number++) {
            String port = arguments[number];
            Triple plain = refer(port, "", "");
            tell(port, "hessian", () -> plain.text("ä"));
            tell(port, "hessian large", () -> String.valueOf(plain.text(LARGE).equals(LARGE)));
            tell(port, "hessian object", () -> {
                Person person = new Person();
                person.setName("Ann");
                person.setAge(30);
                person.setTags(new ArrayList<>(List.of("a")));
                person = plain.older(person, 5);
                return person.getName() + " " + person.getAge();
            });
            tell(port, "hessian error", () -> plain.fail("no"));
            tell(port, "protobuf", () -> plain.echo(StringValue.of("ä")).getValue());
            tell(port, "protobuf large", () -> String.valueOf(plain.echo(StringValue.of(LARGE)).getValue().equals(LARGE)));
            tell(port, "server streaming", () -> gathered(answers -> plain.count(StringValue.of("3"), answers)));
            tell(port, "bidirectional", () -> gathered(answers -> {
                StreamObserver<StringValue> asks = plain.talk(answers);
                asks.onNext(StringValue.of("a"));
                asks.onNext(StringValue.of("b"));
                asks.onCompleted();
            }));
            tell(port, "version and group", () -> refer(port, "2.0", "blue").text("b"));
        }
        System.exit(0);
    }

    private static ServiceConfig<Triple> service(String version, String group) {
        ServiceConfig<Triple> service = new ServiceConfig<>();
        service.setInterface(Triple.class);
        service.setRef(new Served());
        if (!version.isEmpty()) service.setVersion(version);
        if (!group.isEmpty()) service.setGroup(group);
        return service;
    }

    private static Triple refer(String port, String version, String group) {
        ReferenceConfig<Triple> reference = new ReferenceConfig<>();
        reference.setInterface(Triple.class);
        reference.setTimeout(8000);
        reference.setRetries(0);
        reference.setCheck(false);
        if (!version.isEmpty()) reference.setVersion(version);
        if (!group.isEmpty()) reference.setGroup(group);
        reference.setUrl("tri://loopback:" + port + "/" + Triple.class.getName());
        return reference.get();
    }

    private static void tell(String port, String name, Callable<String> asks) {
        JsonObject told = new JsonObject();
        told.addProperty("port", Integer.parseInt(port));
        told.addProperty("case", name);
        try {
            told.addProperty("value", asks.call());
        } catch (Throwable thrown) {
            told.addProperty("error", String.valueOf(thrown.getMessage()));
        }
        Lines.say(told.toString());
    }

    private static String gathered(Consumer<StreamObserver<StringValue>> start) throws Exception {
        List<String> got = Collections.synchronizedList(new ArrayList<>());
        CompletableFuture<Void> end = new CompletableFuture<>();
        start.accept(new Observer(value -> got.add(value.getValue()), end::completeExceptionally, () -> end.complete(null)));
        end.get(4, TimeUnit.SECONDS);
        return String.join(",", got);
    }

    private record Observer(Consumer<StringValue> next, Consumer<Throwable> error, Runnable end)
            implements StreamObserver<StringValue> {
        public void onNext(StringValue value) { next.accept(value); }
        public void onError(Throwable thrown) { error.accept(thrown); }
        public void onCompleted() { end.run(); }
    }

    private static class Served implements Triple {
        public String text(String value) { return value; }
        public Person older(Person person, int years) {
            person.setAge(person.getAge() + years);
            return person;
        }
        public String fail(String message) { throw new IllegalStateException("refused: " + message); }
        public String sleep(int milliseconds) {
            try {
                Thread.sleep(milliseconds);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
            return "slept";
        }
        public StringValue echo(StringValue value) { return value; }
        public void count(StringValue upTo, StreamObserver<StringValue> answers) {
            for (int number = 0; number < Integer.parseInt(upTo.getValue()); number++) {
                answers.onNext(StringValue.of(String.valueOf(number)));
            }
            answers.onCompleted();
        }
        public StreamObserver<StringValue> talk(StreamObserver<StringValue> answers) {
            return new Observer(
                value -> answers.onNext(StringValue.of("echo " + value.getValue())), answers::onError, answers::onCompleted);
        }
    }
}
