// SOFARPC: `server PORT`, or `client` with calls on standard input.
package plait.interop;

import com.alipay.sofa.rpc.config.ApplicationConfig;
import com.alipay.sofa.rpc.config.ConsumerConfig;
import com.alipay.sofa.rpc.config.MethodConfig;
import com.alipay.sofa.rpc.config.ProviderConfig;
import com.alipay.sofa.rpc.config.ServerConfig;
import com.alipay.sofa.rpc.context.RpcInvokeContext;
import com.google.gson.JsonObject;
import com.google.protobuf.StringValue;
import java.util.Collections;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

public class SofaPeer {
    private static final Map<String, Object> PROXIES = new ConcurrentHashMap<>();

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("server")) {
            serve(Integer.parseInt(arguments[1]));
        } else {
            Lines.serve(SofaPeer::call);
            System.exit(0);
        }
    }

    private static void serve(int port) throws Exception {
        ServerConfig server = new ServerConfig().setProtocol("bolt").setHost("127.0.0.1").setBoundHost("127.0.0.1")
            .setVirtualHost("127.0.0.1").setPort(port).setDaemon(false);
        EchoService echo = new EchoService();
        export(Echo.class, echo, server);
        export(EchoPb.class, new EchoPb() {
            public StringValue text(StringValue value) { return value; }
            public StringValue fail(StringValue message) { throw new IllegalStateException(message.getValue()); }
            public StringValue sleep(StringValue time) { return StringValue.of(echo.sleep(Integer.parseInt(time.getValue()))); }
            public StringValue note(StringValue word) { echo.note(word.getValue()); return StringValue.of(""); }
            public StringValue noted(StringValue word) { return StringValue.of("" + echo.noted(word.getValue())); }
        }, server);
        Lines.say("ready");
        Thread.currentThread().join();
    }

    private static <T> void export(Class<T> face, T service, ServerConfig server) {
        new ProviderConfig<T>().setApplication(new ApplicationConfig().setAppName("interop-server"))
            .setInterfaceId(face.getName()).setRef(service).setServer(server).setRegister(false).export();
    }

    private static Object call(JsonObject line) throws Throwable {
        boolean protobuf = line.get("variant").getAsString().equals("protobuf");
        Class<?> face = protobuf ? EchoPb.class : Echo.class;
        String target = line.get("target").getAsString();
        Object proxy = PROXIES.computeIfAbsent(target + face, key -> refer(face, target, protobuf ? "protobuf" : "hessian2"));
        RpcInvokeContext.getContext().setTimeout(line.get("timeout_ms").getAsInt());
        try {
            if (!protobuf) {
                return Lines.invoke(proxy, face, line);
            }
            String argument = line.get("args").getAsJsonArray().get(0).getAsString();
            Object value = face.getMethod(line.get("method").getAsString(), StringValue.class)
                .invoke(proxy, StringValue.of(argument));
            return value == null ? null : ((StringValue) value).getValue();
        } finally {
            RpcInvokeContext.removeContext();
        }
    }

    private static <T> T refer(Class<T> face, String target, String serialization) {
        return new ConsumerConfig<T>().setApplication(new ApplicationConfig().setAppName("interop-client"))
            .setInterfaceId(face.getName()).setProtocol("bolt").setSerialization(serialization).setRetries(0)
            .setDirectUrl("bolt://" + target).setRepeatedReferLimit(-1).setReconnectPeriod(500)
            .setMethods(Collections.singletonList(new MethodConfig().setName("note").setInvokeType("oneway"))).refer();
    }
}
