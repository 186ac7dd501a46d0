// Triple: `server PORT NAME`, or `client PORT...`, which prints a line of JSON for each case and port.
package plait.interop;

import com.google.gson.JsonObject;
import com.google.protobuf.StringValue;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.dubbo.common.stream.StreamObserver;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.RpcException;
import org.apache.dubbo.rpc.TriRpcStatus;

public class TriplePeer {
    private static final String LARGE = "x".repeat(300_000);

    public static void main(String[] arguments) throws Exception {
        System.setProperty("dubbo.service.shutdown.wait", "1"); // milliseconds; else ending takes seconds
        ApplicationConfig application = new ApplicationConfig("triple-" + arguments[0]);
        application.setQosEnable(false);
        DubboBootstrap bootstrap = DubboBootstrap.getInstance().application(application).registry(new RegistryConfig("N/A"));
        if (arguments[0].equals("server")) {
            ProtocolConfig protocol = new ProtocolConfig("tri", Integer.parseInt(arguments[1]));
            protocol.setHost("loopback");
            Served served = new Served(arguments[2]);
            bootstrap.protocol(protocol);
            bootstrap.service(service(Triple.class, served, "", "")).service(service(Triple.class, served, "2.0", "blue"));
            bootstrap.service(service(TripleWrapped.class, served, "", ""));
            bootstrap.service(service(TripleOther.class, served, "", "")).start();
            Lines.say("ready");
            bootstrap.await();
            return;
        }
        bootstrap.start();
        for (int number = 1; number < arguments.length; number++) {
            String port = arguments[number];
            Triple plain = refer(Triple.class, port, "", "", 8000);
            TripleWrapped wrapped = refer(TripleWrapped.class, port, "", "", 8000);
            tell(port, "hessian", () -> wrapped.text("ä €"));
            tell(port, "hessian large", () -> String.valueOf(wrapped.text(LARGE).equals(LARGE)));
            tell(port, "hessian object", () -> {
                Person person = new Person();
                person.setName("Änn");
                person.setAge(30);
                person.setTags(new ArrayList<>(List.of("a")));
                person = wrapped.older(person, 5);
                return person.getName() + " " + person.getAge() + " " + person.getTags();
            });
            tell(port, "declared exception", () -> wrapped.refuse("nö"));
            tell(port, "other exception", () -> wrapped.fail("nö"));
            tell(port, "protobuf", () -> plain.echo(StringValue.of("ä €")).getValue());
            tell(port, "protobuf large", () -> String.valueOf(plain.echo(StringValue.of(LARGE)).getValue().equals(LARGE)));
            tell(port, "protobuf error", () -> plain.reject(StringValue.of("nö")).getValue());
            tell(port, "server streaming", () -> gathered(answers -> plain.count(StringValue.of("3"), answers)));
            tell(port, "client streaming", () -> gathered(answers -> {
                StreamObserver<StringValue> asks = plain.gather(answers);
                asks.onNext(StringValue.of("a"));
                asks.onNext(StringValue.of("b"));
                asks.onCompleted();
            }));
            tell(port, "bidirectional", () -> talked(plain));
            tell(port, "deadline", () -> hurried(refer(Triple.class, port, "", "", 400)));
            tell(port, "where", plain::where);
            tell(port, "where by method", plain::elsewhere);
            tell(port, "where by version", () -> refer(Triple.class, port, "2.0", "blue", 8000).where());
            tell(port, "where by interface", () -> refer(TripleOther.class, port, "", "", 8000).where());
        }
        System.exit(0);
    }

    private static <T> ServiceConfig<T> service(Class<T> face, T served, String version, String group) {
        ServiceConfig<T> service = new ServiceConfig<>();
        service.setInterface(face);
        service.setRef(served);
        if (!version.isEmpty()) service.setVersion(version);
        if (!group.isEmpty()) service.setGroup(group);
        return service;
    }

    private static <T> T refer(Class<T> face, String port, String version, String group, int timeoutMs) {
        ReferenceConfig<T> reference = new ReferenceConfig<>();
        reference.setInterface(face);
        reference.setTimeout(timeoutMs);
        reference.setRetries(0);
        reference.setCheck(false);
        if (!version.isEmpty()) reference.setVersion(version);
        if (!group.isEmpty()) reference.setGroup(group);
        reference.setUrl("tri://loopback:" + port + "/" + face.getName());
        return reference.get();
    }

    private static void tell(String port, String name, Callable<String> asks) {
        JsonObject told = new JsonObject();
        told.addProperty("port", Integer.parseInt(port));
        told.addProperty("case", name);
        try {
            told.addProperty("value", asks.call());
        } catch (Throwable thrown) {
            told.addProperty("error", thrown.getClass().getName() + " " + thrown.getMessage());
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

    /** Two timers of Dubbo run out at about the same time, and each has its own words. */
    private static String hurried(Triple service) {
        try {
            return service.nap(StringValue.of("3000")).getValue();
        } catch (RpcException thrown) {
            if (thrown.getMessage().matches("(?is).*timeout(:| after) 400 ?ms.*")) return "timed out";
            throw thrown;
        }
    }

    /** Each answer is waited for before the next is asked. */
    private static String talked(Triple service) throws Exception {
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        CompletableFuture<Void> end = new CompletableFuture<>();
        StreamObserver<StringValue> asks = service.talk(new Observer(value -> got.add(value.getValue()), thrown -> {
            end.completeExceptionally(thrown);
            got.add("nothing");
        }, () -> end.complete(null)));
        List<String> all = new ArrayList<>();
        for (String word : List.of("a", "b")) {
            asks.onNext(StringValue.of(word));
            all.add(got.poll(4, TimeUnit.SECONDS));
            if (end.isCompletedExceptionally()) end.get();
        }
        asks.onCompleted();
        end.get(4, TimeUnit.SECONDS);
        return String.join(",", all);
    }

    private record Observer(Consumer<StringValue> next, Consumer<Throwable> error, Runnable end)
            implements StreamObserver<StringValue> {
        public void onNext(StringValue value) { next.accept(value); }
        public void onError(Throwable thrown) { error.accept(thrown); }
        public void onCompleted() { end.run(); }
    }

    private record Served(String name) implements Triple, TripleWrapped, TripleOther {
        public String text(String value) { return value; }
        public Person older(Person person, int years) {
            person.setAge(person.getAge() + years);
            return person;
        }
        public String refuse(String message) throws Refused { throw new Refused("refused: " + message); }
        public String fail(String message) { throw new IllegalStateException("refused: " + message); }
        public String where() { return name; }
        public String elsewhere() { return name; }
        public StringValue echo(StringValue value) { return value; }
        public StringValue reject(StringValue message) {
            throw TriRpcStatus.fromCode(TriRpcStatus.Code.FAILED_PRECONDITION)
                .withDescription("refused: " + message.getValue()).asException();
        }
        public StringValue nap(StringValue milliseconds) {
            try {
                Thread.sleep(Integer.parseInt(milliseconds.getValue()));
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
            return StringValue.of("slept");
        }
        public void count(StringValue upTo, StreamObserver<StringValue> answers) {
            for (int number = 0; number < Integer.parseInt(upTo.getValue()); number++) {
                answers.onNext(StringValue.of(String.valueOf(number)));
            }
            answers.onCompleted();
        }
        public StreamObserver<StringValue> gather(StreamObserver<StringValue> answers) {
            List<String> got = new ArrayList<>();
            return new Observer(value -> got.add(value.getValue()), answers::onError, () -> {
                answers.onNext(StringValue.of(String.join("+", got)));
                answers.onCompleted();
            });
        }
        public StreamObserver<StringValue> talk(StreamObserver<StringValue> answers) {
            return new Observer(
                value -> answers.onNext(StringValue.of("echo " + value.getValue())), answers::onError, answers::onCompleted);
        }
    }
}
