// Calls as lines of JSON from standard input, each in a thread of its own; results as lines of JSON in the order they come.
package plait.interop;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

public final class Lines {
    /** Does what one line asks for. */
    public interface Caller {
        Object call(JsonObject line) throws Throwable;
    }

    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private Lines() { }

    public static void say(String line) {
        synchronized (OUT) {
            OUT.println(line);
        }
    }

    /** Until the end of standard input. */
    public static void serve(Caller caller) throws Exception {
        ExecutorService threads = Executors.newCachedThreadPool();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        say("ready");
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonObject asked = JsonParser.parseString(line).getAsJsonObject();
            threads.execute(() -> say(answer(caller, asked)));
        }
    }

    private static String answer(Caller caller, JsonObject asked) {
        JsonObject result = new JsonObject();
        result.add("id", asked.get("id"));
        try {
            result.add("value", toJson(caller.call(asked)));
        } catch (Throwable thrown) {
            Throwable cause = thrown instanceof InvocationTargetException ? thrown.getCause() : thrown;
            JsonObject error = new JsonObject();
            error.addProperty("class", cause.getClass().getName());
            error.addProperty("message", String.valueOf(cause.getMessage()));
            result.add("error", error);
        }
        return result.toString();
    }

    /** Call the method that a line names, found by its name alone, on an object. */
    public static Object invoke(Object target, Class<?> face, JsonObject line) throws Throwable {
        String name = line.get("method").getAsString();
        Object[] arguments = ((List<?>) fromJson(line.get("args"))).toArray();
        for (Method method : face.getMethods()) {
            if (method.getName().equals(name)) {
                return method.invoke(target, arguments);
            }
        }
        throw new NoSuchMethodException(name);
    }

    public static Object fromJson(JsonElement element) {
        if (element.isJsonNull()) {
            return null;
        }
        if (element.isJsonArray()) {
            List<Object> list = new ArrayList<>();
            element.getAsJsonArray().forEach(item -> list.add(fromJson(item)));
            return list;
        }
        if (element.isJsonPrimitive()) {
            JsonPrimitive primitive = element.getAsJsonPrimitive();
            if (primitive.isBoolean()) {
                return primitive.getAsBoolean();
            }
            if (primitive.isString()) {
                return primitive.getAsString();
            }
            String digits = primitive.getAsString();
            if (digits.matches("-?[0-9]+")) {
                long number = Long.parseLong(digits);
                return number == (int) number ? (Object) (int) number : (Object) number;
            }
            return primitive.getAsDouble();
        }
        JsonObject object = element.getAsJsonObject();
        if (object.has("$bytes")) {
            return Base64.getDecoder().decode(object.get("$bytes").getAsString());
        }
        Map<String, Object> map = new HashMap<>();
        object.entrySet().forEach(entry -> map.put(entry.getKey(), fromJson(entry.getValue())));
        return object.has("$person") ? person((Map<?, ?>) map.get("$person")) : map;
    }

    @SuppressWarnings("unchecked")
    private static Person person(Map<?, ?> fields) {
        Person person = new Person();
        person.setName((String) fields.get("name"));
        person.setAge((Integer) fields.get("age"));
        person.setTags((List<String>) fields.get("tags"));
        return person;
    }

    public static JsonElement toJson(Object value) {
        if (value == null) {
            return JsonNull.INSTANCE;
        }
        if (value instanceof String) {
            return new JsonPrimitive((String) value);
        }
        if (value instanceof Number) {
            return new JsonPrimitive((Number) value);
        }
        if (value instanceof Boolean) {
            return new JsonPrimitive((Boolean) value);
        }
        JsonObject object = new JsonObject();
        if (value instanceof Iterable) {
            JsonArray array = new JsonArray();
            ((Iterable<?>) value).forEach(item -> array.add(toJson(item)));
            return array;
        }
        if (value instanceof byte[]) {
            object.addProperty("$bytes", Base64.getEncoder().encodeToString((byte[]) value));
        } else if (value instanceof Map) {
            ((Map<?, ?>) value).forEach((key, item) -> object.add(String.valueOf(key), toJson(item)));
        } else if (value instanceof Person) {
            JsonObject fields = new JsonObject();
            fields.addProperty("name", ((Person) value).getName());
            fields.addProperty("age", ((Person) value).getAge());
            fields.add("tags", toJson(((Person) value).getTags()));
            object.add("$person", fields);
        } else {
            object.addProperty("$class", value.getClass().getName());
        }
        return object;
    }
}
