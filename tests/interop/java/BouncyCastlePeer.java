import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import javax.activation.DataHandler;
import javax.crypto.SecretKey;
import javax.crypto.spec.SecretKeySpec;
import javax.mail.Session;
import javax.mail.internet.MimeBodyPart;
import javax.mail.internet.MimeMessage;
import javax.mail.internet.MimeMultipart;
import javax.mail.util.ByteArrayDataSource;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.cms.CMSAttributes;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.oiw.OIWObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.pkcs.RSAESOAEPparams;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509ExtensionUtils;
import org.bouncycastle.cms.CMSAlgorithm;
import org.bouncycastle.cms.CMSAuthEnvelopedData;
import org.bouncycastle.cms.CMSAuthEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSCompressedData;
import org.bouncycastle.cms.CMSEnvelopedData;
import org.bouncycastle.cms.CMSEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.KEKRecipientInformation;
import org.bouncycastle.cms.PasswordRecipientInformation;
import org.bouncycastle.cms.Recipient;
import org.bouncycastle.cms.RecipientInfoGenerator;
import org.bouncycastle.cms.RecipientInformation;
import org.bouncycastle.cms.RecipientInformationStore;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.cms.jcajce.JceCMSContentEncryptorBuilder;
import org.bouncycastle.cms.jcajce.JceKEKRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JceKeyAgreeRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JcePasswordRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.ZlibCompressor;
import org.bouncycastle.cms.jcajce.ZlibExpanderProvider;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.mail.smime.SMIMECompressedGenerator;
import org.bouncycastle.mail.smime.SMIMEEnvelopedGenerator;
import org.bouncycastle.mail.smime.SMIMESigned;
import org.bouncycastle.mail.smime.SMIMESignedGenerator;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.util.Store;
import org.bouncycastle.util.encoders.Hex;

/**
 * BouncyCastle as an S/MIME peer: one command a line on standard input, arguments separated by
 * tabs, fields inside an argument by semicolons; one answer a line ("ok ..." or "error ...").
 * Classes that came after 1.72 are found by name, so this compiles with either release.
 *
 * version
 * sign IN OUT clear|opaque TRAIT SIGNER...          SIGNER: ALGORITHM;SALT;KEY;CERTIFICATE...
 * verify IN OUT
 * encrypt IN OUT CIPHER TRAIT RECIPIENT...          RECIPIENT: see recipient()
 * decrypt IN OUT key;KEY;CERTIFICATE | password;TEXT | kek;HEX
 * compress IN OUT        decompress IN OUT
 */
public class BouncyCastlePeer {
    static final String BC = "BC";

    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String answer;
            try {
                answer = "ok " + obey(line.split("\t", -1));
            } catch (Throwable fault) {
                Throwable cause = fault;
                while (cause instanceof InvocationTargetException) cause = cause.getCause();
                answer = ("error " + cause).replace('\n', ' ').replace('\r', ' ');
            }
            System.out.println(answer);
            System.out.flush();
        }
    }

    static String obey(String[] words) throws Exception {
        if (words[0].equals("version")) return Security.getProvider(BC).getInfo();
        byte[] in = Files.readAllBytes(Path.of(words[1]));
        byte[] out;
        switch (words[0]) {
            case "sign": out = sign(in, words); break;
            case "verify": out = verify(in); break;
            case "encrypt": out = encrypt(in, words); break;
            case "decrypt": out = decrypt(in, words[3].split(";")); break;
            case "compress": out = compress(in); break;
            case "decompress": out = decompress(in); break;
            default: throw new IllegalArgumentException(words[0]);
        }
        Files.write(Path.of(words[2]), out);
        return "";
    }

    // Signing

    static byte[] sign(byte[] in, String[] words) throws Exception {
        SMIMESignedGenerator generator = new SMIMESignedGenerator();
        for (int index = 5; index < words.length; index++)
            addSigner(generator, words[4], words[index].split(";"));
        MimeBodyPart part = new MimeBodyPart(new ByteArrayInputStream(in));
        MimeMessage message = empty();
        if (words[3].equals("clear")) {
            MimeMultipart made = generator.generate(part);
            message.setContent(made, made.getContentType());
        } else {
            MimeBodyPart made = generator.generateEncapsulated(part);
            message.setContent(made.getContent(), made.getContentType());
        }
        return written(message);
    }

    static void addSigner(SMIMESignedGenerator generator, String trait, String[] fields)
            throws Exception {
        List<X509Certificate> chain = new ArrayList<>();
        for (int index = 3; index < fields.length; index++) chain.add(certificate(fields[index]));
        JcaContentSignerBuilder how =
                fields[1].isEmpty()
                        ? new JcaContentSignerBuilder(fields[0])
                        : new JcaContentSignerBuilder(
                                fields[0],
                                new PSSParameterSpec(
                                        "SHA-256",
                                        "MGF1",
                                        MGF1ParameterSpec.SHA256,
                                        Integer.parseInt(fields[1]),
                                        1));
        ContentSigner signer = how.setProvider(BC).build(key(fields[2]));
        JcaSignerInfoGeneratorBuilder builder =
                new JcaSignerInfoGeneratorBuilder(
                        new JcaDigestCalculatorProviderBuilder().setProvider(BC).build());
        builder.setDirectSignature(trait.equals("no-attributes"));
        generator.addSignerInfoGenerator(
                trait.equals("key-id")
                        ? builder.build(
                                signer,
                                new JcaX509ExtensionUtils()
                                        .createSubjectKeyIdentifier(chain.get(0).getPublicKey())
                                        .getKeyIdentifier())
                        : builder.build(signer, chain.get(0)));
        generator.addCertificates(new JcaCertStore(chain));
    }

    static byte[] verify(byte[] in) throws Exception {
        MimeMessage message = message(in);
        boolean clear = message.getContent() instanceof MimeMultipart;
        SMIMESigned signed =
                clear
                        ? new SMIMESigned((MimeMultipart) message.getContent())
                        : new SMIMESigned(message);
        Store<X509CertificateHolder> certificates = signed.getCertificates();
        Collection<SignerInformation> signers = signed.getSignerInfos().getSigners();
        if (signers.isEmpty()) throw new SecurityException("no signer");
        for (SignerInformation signer : signers) {
            X509CertificateHolder holder =
                    (X509CertificateHolder) certificates.getMatches(signer.getSID()).iterator().next();
            if (!signer.verify(
                    new JcaSimpleSignerInfoVerifierBuilder().setProvider(BC).build(holder)))
                throw new SecurityException("signature does not verify");
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        if (clear) signed.getContent().writeTo(out);
        else new CMSSignedData(octets(message)).getSignedContent().write(out);
        return out.toByteArray();
    }

    // Encrypting

    static byte[] encrypt(byte[] in, String[] words) throws Exception {
        List<RecipientInfoGenerator> recipients = new ArrayList<>();
        for (int index = 5; index < words.length; index++)
            recipients.add(recipient(words[index].split(";", -1)));
        ASN1ObjectIdentifier cipher =
                (ASN1ObjectIdentifier)
                        CMSAlgorithm.class
                                .getField(words[3].equals("3des-cbc") ? "DES_EDE3_CBC" : constant(words[3]))
                                .get(null);
        OutputEncryptor encryptor = new JceCMSContentEncryptorBuilder(cipher).setProvider(BC).build();
        // This release's mail package makes no AuthEnvelopedData: its CMS package does.
        if (words[3].endsWith("-cbc")) {
            SMIMEEnvelopedGenerator generator = new SMIMEEnvelopedGenerator();
            recipients.forEach(generator::addRecipientInfoGenerator);
            MimeBodyPart made =
                    generator.generate(new MimeBodyPart(new ByteArrayInputStream(in)), encryptor);
            MimeMessage message = empty();
            message.setContent(made.getContent(), made.getContentType());
            return written(message);
        }
        CMSProcessableByteArray content = new CMSProcessableByteArray(in);
        if (words[4].equals("in-enveloped")) {
            CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
            recipients.forEach(generator::addRecipientInfoGenerator);
            return wrapped(generator.generate(content, encryptor).getEncoded(), "enveloped-data");
        }
        CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
        recipients.forEach(generator::addRecipientInfoGenerator);
        if (words[4].equals("attributes"))
            generator.setAuthenticatedAttributeGenerator(
                    parameters ->
                            new AttributeTable(
                                    new DERSet(
                                            new Attribute(
                                                    CMSAttributes.contentType,
                                                    new DERSet(CMSObjectIdentifiers.data)))));
        byte[] made = generator.generate(content, (OutputAEADEncryptor) encryptor).getEncoded();
        return wrapped(made, "authEnveloped-data");
    }

    /**
     * pkcs1;CERTIFICATE | oaep;DIGEST;MASK-DIGEST;LABEL;CERTIFICATE | agree;SCHEME;WRAP;CERTIFICATE
     * | kem;WRAP;CERTIFICATE | password;TEXT | kek;HEX
     */
    static RecipientInfoGenerator recipient(String[] fields) throws Exception {
        X509Certificate certificate =
                fields[0].equals("password") || fields[0].equals("kek")
                        ? null
                        : certificate(fields[fields.length - 1]);
        switch (fields[0]) {
            case "pkcs1": return new JceKeyTransRecipientInfoGenerator(certificate).setProvider(BC);
            case "oaep":
                return new JceKeyTransRecipientInfoGenerator(certificate, oaep(fields)).setProvider(BC);
            case "agree": return agreement(fields[1], fields[2], certificate);
            case "kem":
                return (RecipientInfoGenerator)
                        provided(
                                Class.forName("org.bouncycastle.cms.jcajce.JceKEMRecipientInfoGenerator")
                                        .getConstructor(X509Certificate.class, ASN1ObjectIdentifier.class)
                                        .newInstance(certificate, wrap(fields[1])));
            case "password":
                return new JcePasswordRecipientInfoGenerator(
                                CMSAlgorithm.AES256_CBC, fields[1].toCharArray())
                        .setProvider(BC);
            case "kek":
                return new JceKEKRecipientInfoGenerator("interop".getBytes(), secret(fields[1]))
                        .setProvider(BC);
            default: throw new IllegalArgumentException(fields[0]);
        }
    }

    static AlgorithmIdentifier oaep(String[] fields) throws Exception {
        AlgorithmIdentifier mask =
                new AlgorithmIdentifier(PKCSObjectIdentifiers.id_mgf1, digest(fields[2]));
        AlgorithmIdentifier label =
                new AlgorithmIdentifier(
                        PKCSObjectIdentifiers.id_pSpecified,
                        new DEROctetString(fields[3].getBytes(StandardCharsets.US_ASCII)));
        return new AlgorithmIdentifier(
                PKCSObjectIdentifiers.id_RSAES_OAEP,
                new RSAESOAEPparams(digest(fields[1]), mask, label));
    }

    static AlgorithmIdentifier digest(String name) {
        switch (name) {
            case "sha1": return new AlgorithmIdentifier(OIWObjectIdentifiers.idSHA1, DERNull.INSTANCE);
            case "sha256":
                return new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256, DERNull.INSTANCE);
            case "sha384":
                return new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha384, DERNull.INSTANCE);
            case "sha512":
                return new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha512, DERNull.INSTANCE);
            default: throw new IllegalArgumentException(name);
        }
    }

    static RecipientInfoGenerator agreement(
            String scheme, String wrap, X509Certificate certificate) throws Exception {
        PublicKey theirs = certificate.getPublicKey();
        KeyPairGenerator pairs;
        if (theirs instanceof ECPublicKey) {
            pairs = KeyPairGenerator.getInstance("EC", BC);
            pairs.initialize(((ECPublicKey) theirs).getParams());
        } else {
            pairs = KeyPairGenerator.getInstance(theirs.getAlgorithm(), BC);
        }
        KeyPair pair = pairs.generateKeyPair();
        Class<?> names =
                scheme.startsWith("EC") ? CMSAlgorithm.class : PKCSObjectIdentifiers.class;
        return new JceKeyAgreeRecipientInfoGenerator(
                        (ASN1ObjectIdentifier) names.getField(scheme).get(null),
                        pair.getPrivate(),
                        pair.getPublic(),
                        wrap(wrap))
                .addRecipient(certificate)
                .setProvider(BC);
    }

    static ASN1ObjectIdentifier wrap(String name) throws Exception {
        return (ASN1ObjectIdentifier) CMSAlgorithm.class.getField(constant(name)).get(null);
    }

    // Decrypting

    static byte[] decrypt(byte[] in, String[] fields) throws Exception {
        byte[] octets = octets(message(in));
        boolean authenticated =
                CMSObjectIdentifiers.authEnvelopedData.equals(
                        ContentInfo.getInstance(octets).getContentType());
        RecipientInformationStore recipients =
                authenticated
                        ? new CMSAuthEnvelopedData(octets).getRecipientInfos()
                        : new CMSEnvelopedData(octets).getRecipientInfos();
        String suffix = authenticated ? "AuthEnvelopedRecipient" : "EnvelopedRecipient";
        for (RecipientInformation one : recipients.getRecipients())
            if (meant(one, fields)) return one.getContent(opener(one, fields, suffix));
        throw new SecurityException("not a recipient");
    }

    static boolean meant(RecipientInformation one, String[] fields) throws Exception {
        if (fields[0].equals("password")) return one instanceof PasswordRecipientInformation;
        if (fields[0].equals("kek")) return one instanceof KEKRecipientInformation;
        return one.getRID().match(new JcaX509CertificateHolder(certificate(fields[2])));
    }

    static Recipient opener(RecipientInformation one, String[] fields, String suffix)
            throws Exception {
        String name = one.getClass().getSimpleName().replace("RecipientInformation", "");
        Class<?> type = Class.forName("org.bouncycastle.cms.jcajce.Jce" + name + suffix);
        if (fields[0].equals("password"))
            return (Recipient)
                    provided(
                            type.getConstructor(char[].class)
                                    .newInstance((Object) fields[1].toCharArray()));
        if (fields[0].equals("kek"))
            return (Recipient)
                    provided(type.getConstructor(SecretKey.class).newInstance(secret(fields[1])));
        return (Recipient)
                provided(type.getConstructor(PrivateKey.class).newInstance(key(fields[1])));
    }

    static Object provided(Object made) throws Exception {
        return made.getClass().getMethod("setProvider", String.class).invoke(made, BC);
    }

    // Compressing

    static byte[] compress(byte[] in) throws Exception {
        MimeBodyPart made =
                new SMIMECompressedGenerator()
                        .generate(new MimeBodyPart(new ByteArrayInputStream(in)), new ZlibCompressor());
        MimeMessage message = empty();
        message.setContent(made.getContent(), made.getContentType());
        return written(message);
    }

    static byte[] decompress(byte[] in) throws Exception {
        return new CMSCompressedData(octets(message(in))).getContent(new ZlibExpanderProvider());
    }

    // Names, keys, messages

    static String constant(String name) {
        return name.toUpperCase().replace('-', '_');
    }

    static SecretKey secret(String hex) {
        return new SecretKeySpec(Hex.decode(hex), "AES");
    }

    static PrivateKey key(String path) throws Exception {
        PrivateKeyInfo found = PrivateKeyInfo.getInstance(Files.readAllBytes(Path.of(path)));
        PrivateKey key = BouncyCastleProvider.getPrivateKey(found);
        if (key == null)
            throw new IllegalArgumentException(
                    "no keys with " + found.getPrivateKeyAlgorithm().getAlgorithm());
        return key;
    }

    static X509Certificate certificate(String path) throws Exception {
        try (InputStream octets = Files.newInputStream(Path.of(path))) {
            return (X509Certificate)
                    CertificateFactory.getInstance("X.509", BC).generateCertificate(octets);
        }
    }

    static MimeMessage empty() {
        return new MimeMessage(Session.getInstance(new java.util.Properties()));
    }

    static MimeMessage message(byte[] in) throws Exception {
        return new MimeMessage((Session) null, new ByteArrayInputStream(in));
    }

    static byte[] octets(MimeMessage message) throws Exception {
        try (InputStream stream = message.getInputStream()) {
            return stream.readAllBytes();
        }
    }

    static byte[] wrapped(byte[] cms, String type) throws Exception {
        MimeMessage message = empty();
        message.setDataHandler(
                new DataHandler(
                        new ByteArrayDataSource(
                                cms,
                                "application/pkcs7-mime; smime-type=" + type + "; name=smime.p7m")));
        message.setHeader("Content-Transfer-Encoding", "base64");
        return written(message);
    }

    static byte[] written(MimeMessage message) throws Exception {
        message.saveChanges();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        message.writeTo((OutputStream) out);
        return out.toByteArray();
    }
}
